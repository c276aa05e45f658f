"""
The shapes of well-known tokens, for what nobody declared: keys of common services, and passwords in addresses.

A shape is taken over by mistake where a text only looks like a token, which costs three stars in a log; so shapes are long, and begin with what is rare.
They are for what steps print and for free text. Lengths are the least that the services make, and longer ones are masked to their end.
"""

from __future__ import annotations

from orchestrator.core.rule_search import Rule

_BREAK = r"(?:\s|\\[rn])+"
_LINE = "[A-Za-z0-9+/]{16}[A-Za-z0-9+/=]*"
_LINES = f"(?P<secret>{_LINE}(?:{_BREAK}{_LINE})*)"
_LINES_TO_THE_END = f"(?P<secret>(?:{_LINE}{_BREAK})*[A-Za-z0-9+/=]+){_BREAK}-----END"
_HEADERS = rf"(?:{_BREAK}[A-Za-z-]+: [\x20-\x5b\x5d-\x7e]*)*"
_PRIVATE_KEY = f"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----{_HEADERS}{_BREAK}(?:{_LINES}|{_LINES_TO_THE_END})"
_NOT_A_USER = r"""\s:/?#@"'<>`"""
_NOT_PASSED = r"""\s/?#"'<>`"""

_AWS_KEY = (
    r"(?:aws_secret_access_key|AWS_SECRET_ACCESS_KEY|[Ss]ecretAccessKey)"
    r"""["']?\s{0,8}[=:>]\s{0,8}["']?(?P<secret>[A-Za-z0-9/+]{40})"""
)

TOKEN_RULES: tuple[Rule, ...] = (
    Rule("builtin:github", "gh[oprsu]_[A-Za-z0-9]{36}[A-Za-z0-9]*", (b"gho_", b"ghp_", b"ghr_", b"ghs_", b"ghu_")),
    Rule("builtin:github", "github_pat_[A-Za-z0-9_]{22}[A-Za-z0-9_]*", (b"github_pat_",)),
    Rule(
        "builtin:gitlab",
        "gl(?:pat|ptt|cbt|dt|ft|rt)-[A-Za-z0-9_-]{20}[A-Za-z0-9_.-]*",
        (b"glpat-", b"glptt-", b"glcbt-", b"gldt-", b"glft-", b"glrt-"),
    ),
    Rule("builtin:aws", "(?:AKIA|ASIA)[A-Z0-9]{16}", (b"AKIA", b"ASIA")),
    Rule(
        "builtin:aws",
        _AWS_KEY,
        (b"aws_secret_access_key", b"AWS_SECRET_ACCESS_KEY", b"secretAccessKey", b"SecretAccessKey"),
    ),
    Rule(
        "builtin:slack",
        "xox[abeoprs]-[A-Za-z0-9-]{10}[A-Za-z0-9-]*",
        (b"xoxa-", b"xoxb-", b"xoxe-", b"xoxo-", b"xoxp-", b"xoxr-", b"xoxs-"),
    ),
    Rule("builtin:google", "AIza[A-Za-z0-9_-]{35}", (b"AIza",)),
    Rule(
        "builtin:stripe",
        "[rs]k_(?:live|test)_[A-Za-z0-9]{16}[A-Za-z0-9]*",
        (b"rk_live_", b"rk_test_", b"sk_live_", b"sk_test_"),
    ),
    Rule("builtin:npm", "npm_[A-Za-z0-9]{36}", (b"npm_",)),
    Rule("builtin:pypi", "pypi-[A-Za-z0-9_-]{32}[A-Za-z0-9_-]*", (b"pypi-",)),
    # The header has an end, so that other JSON in base64, which has no dots, is not taken for one that goes on and on.
    Rule("builtin:jwt", r"eyJ[A-Za-z0-9_-]{6,900}\.eyJ[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*", (b"eyJ",)),
    Rule("builtin:private_key", _PRIVATE_KEY, (b"-----BEGIN ",)),
    Rule(
        "builtin:url",
        f"://[^{_NOT_A_USER}]*:(?P<secret>[^{_NOT_PASSED}]+)@",
        (b"://",),
        # Addresses are common, and passwords in them are not: this passes over the others. (White space in letters is a fifth faster than \s.)
        probe=rb"""://[^ \t\n\r\f\v/?#"'<>`@]{0,%(block)d}+(?:[^ \t\n\r\f\v/?#"'<>`]|\Z)""",
    ),
)
"""All rules that `[redact] builtin` switches; several may share a name. The heads are what the patterns give, so that no start waits for that."""
