"""
Reading our Markdown: fenced blocks with the directives before them, front matter, sections and links.

A directive is an HTML comment on the line before a block, so that a reader of the page does not see it:

- `<!-- file: NAME -->` the block is the content of that file, written into the page's sandbox at that point
- `<!-- not run: REASON -->` the block's syntax is checked, but it is not executed
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent

LANGUAGES = frozenset(
    {"bash", "console", "ini", "json", "jsonl", "makefile", "mermaid", "python", "sql", "text", "toml", "yaml"}
)

_FENCE = re.compile(
    r"(?:^[ ]*<!--[ ]*(?P<directive>file|not[ ]run):[ ]*(?P<argument>[^\n]*?)[ ]*-->[ ]*\n(?:[ ]*\n)?)?"
    r"^(?P<indent>[ ]*)(?P<fence>```+)(?P<language>[^\n`]*)\n(?P<body>.*?)^(?P=indent)(?P=fence)[ ]*$",
    re.MULTILINE | re.DOTALL,
)


class Block(NamedTuple):
    """Hold one fenced block: where it stands, its language, and the directive before it."""

    page: Path
    line: int
    language: str
    text: str
    file: str | None
    not_run: str | None

    @property
    def place(self) -> str:
        """Name the block as `docs/page.md:12`."""
        return f"{self.page.relative_to(ROOT).as_posix()}:{self.line}"


def pages() -> list[Path]:
    """List every Markdown page that we publish."""
    return sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "notebooks").glob("*.md")])


def blocks_of(page: Path) -> list[Block]:
    """Return the fenced blocks of *page* in order."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in _FENCE.finditer(text):
        directive, argument, indent = match["directive"], match["argument"], match["indent"]
        body = "".join(line.removeprefix(indent) for line in match["body"].splitlines(keepends=True))
        found.append(
            Block(
                page=page,
                line=text.count("\n", 0, match.start("fence")) + 1,
                language=match["language"].strip(),
                text=body,
                file=argument if directive == "file" else None,
                not_run=argument if directive == "not run" else None,
            )
        )
    return found


def without_code(text: str) -> str:
    """Return *text* without fenced blocks and inline code, so that only prose is left."""
    return re.sub(r"`[^`\n]*`", "", _FENCE.sub("", text))


def links_of(page: Path) -> list[str]:
    """Return the targets of the links in the prose of *page*."""
    return re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text(encoding="utf-8")))


def sections_of(text: str) -> dict[str, str]:
    """Map each heading to the text below it, up to the next heading of any level."""
    parts = re.split(r"^#{1,6} +(.+?) *$", _FENCE.sub("", text), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def front_matter_of(text: str) -> dict[str, str]:
    """Return the scalar fields of the YAML front matter, or nothing where there is none."""
    match = re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)
    return dict(re.findall(r"^([a-z-]+): *(.+?) *$", match[1], re.MULTILINE)) if match else {}


class Example(NamedTuple):
    """Hold a command of a console block with the output that the page shows for it."""

    block: Block
    command: str
    output: str


def examples_of(block: Block) -> list[Example]:
    """Split a console block: `$ ` begins a command, `> ` continues it, anything else is output."""
    examples: list[Example] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            examples.append(Example(block, line[2:], ""))
        elif not examples:
            message = f"{block.place}: a console block begins with a command, expected '$ ', got {line!r}"
            raise ValueError(message)
        elif line.startswith("> ") and not examples[-1].output:
            examples[-1] = examples[-1]._replace(command=examples[-1].command + "\n" + line[2:])
        else:
            examples[-1] = examples[-1]._replace(output=examples[-1].output + line + "\n")
    return examples


def commands_in(text: str, program: str) -> Iterator[list[str]]:
    """
    Find each call of *program* in shell text, as its arguments.

    Lines that end in a backslash are joined; pipes, redirections and what follows `&&` or `;` end a call.
    """
    for line in text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        arguments: list[str] | None = None
        for word in lexer:
            if set(word) <= set("|&;<>()"):
                if arguments is not None:
                    yield arguments
                arguments = None
            elif arguments is not None:
                arguments.append(word)
            elif word.rpartition("/")[2] == program:
                arguments = []
        if arguments is not None:
            yield arguments
