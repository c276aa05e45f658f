"""
From an executed notebook to one HTML file that asks nobody for anything: no script, no font, no image from elsewhere.

The texts and outputs are rendered by nbconvert's bare template; what surrounds them is ours, and its policy forbids whatever might get in.
"""

from __future__ import annotations

import html
import warnings
from typing import Any

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"

_STYLE = """
:root{color-scheme:light}
body{margin:0;background:#fff;color:#27313a;font:16px/1.55 system-ui,"DejaVu Sans",Verdana,sans-serif}
main{max-width:60rem;margin:0 auto;padding:1.5rem 1.25rem 4rem}
h1{font-size:1.9rem;line-height:1.2;margin:.4rem 0 1rem}
h2{font-size:1.3rem;margin:2.8rem 0 .5rem;padding-top:.9rem;border-top:1px solid #e3e6e9}
p{margin:.5rem 0;max-width:46rem;overflow-wrap:anywhere}
code{font:.88em ui-monospace,Consolas,monospace;background:#f3f5f6;padding:.05em .25em;border-radius:3px}
pre{font:.85rem/1.45 ui-monospace,Consolas,monospace;overflow-x:auto;margin:.5rem 0}
.jp-InputArea pre,.input_area pre,.highlight pre{background:#f6f8f9;border:1px solid #e3e6e9;border-radius:6px;padding:.6rem .8rem}
.anchor-link,.prompt,.jp-InputPrompt,.jp-OutputPrompt{display:none}
img.chart{display:block;max-width:100%;height:auto;margin:1rem 0}
table{border:0;border-collapse:collapse;font-size:.86rem;margin:.8rem 0;display:block;max-width:100%;overflow-x:auto}
th,td{padding:.28rem .7rem;border:0;border-bottom:1px solid #e3e6e9;text-align:right;vertical-align:top}
th{font-weight:600;border-bottom:2px solid #c3c9ce}
td.text,td:first-child,th:first-child{text-align:left}
"""


def page_of(notebook: Any, title: str, *, code: bool) -> str:  # noqa: ANN401 - nbformat has no types
    """
    Return the executed *notebook* as one HTML page.

    Args:
        code: Show the code of the cells as well.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from nbconvert import HTMLExporter

        exporter = HTMLExporter(template_name="basic", exclude_input=not code, exclude_input_prompt=True)
        exporter.exclude_output_prompt = True
        body, _ = exporter.from_notebook_node(notebook)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        f'<meta name="viewport" content="width=device-width,initial-scale=1">\n<title>{html.escape(title)}</title>\n'
        f"<style>{_STYLE}{_colours() if code else ''}</style></head>\n<body><main>\n{body}\n</main></body></html>\n"
    )


def _colours() -> str:
    from pygments.formatters import HtmlFormatter

    return str(HtmlFormatter(style="friendly").get_style_defs(".highlight"))
