# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""The HTML page around a report: one file, no network, light and dark."""

from collections.abc import Iterable, Sequence
import html

_CSS = """
:root { color-scheme: light dark;
  --surface: #fefefe; --page: #f5f6f8; --ink: #23272e; --muted: #6b7380;
  --grid: #dfe3e8; --bars: #b9c1cb; --accent: #0062a3; --shade: #23272e33;
  --s0: #0072b2; --s1: #d55e00; --s2: #009e73; --s3: #c7629c; --s4: #dc9600;
  --s5: #4aa5dc; --s6: #7a5195; --s7: #5f6670; }
@media (prefers-color-scheme: dark) { :root {
  --surface: #171a1f; --page: #0f1115; --ink: #e6e9ee; --muted: #97a1af;
  --grid: #2d333c; --bars: #4a5462; --accent: #6cb6ec; --shade: #000000b0;
  --s0: #4fa9e0; --s1: #f0883e; --s2: #2fc297; --s3: #e392c0; --s4: #f0b63a;
  --s5: #9bd3f5; --s6: #b890d6; --s7: #a8adb3; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 40px 24px 64px; }
h1 { font-size: 30px; line-height: 1.2; margin: 0 0 12px; }
h2 { font-size: 21px; line-height: 1.3; margin: 44px 0 4px; }
h3 { font-size: 16px; margin: 34px 0 10px; }
h1, h2, h3, p, td, th, figcaption { overflow-wrap: break-word; }
.eyebrow { margin: 0 0 6px; color: var(--muted); font-size: 13px;
  letter-spacing: .04em; }
.lead { font-size: 17px; margin: 0; max-width: 46em; }
.facts { color: var(--muted); margin: 0; }
.cards { display: grid; gap: 10px; margin: 22px 0 0; padding: 0;
  grid-template-columns: repeat(auto-fit, minmax(128px, 1fr)); }
.cards div, .panel, figure { background: var(--surface);
  border: 1px solid var(--grid); border-radius: 10px; }
.cards div { padding: 10px 14px; }
.cards dt { color: var(--muted); font-size: 12.5px; }
.cards dd { margin: 0; font-size: 17px; font-weight: 600; }
/* The shadows at the sides say that there is more to scroll to. */
.panel { overflow-x: auto; padding: 6px 14px;
  background: linear-gradient(90deg, var(--surface) 30%, transparent),
    linear-gradient(270deg, var(--surface) 30%, transparent) 100% 0,
    radial-gradient(farthest-side at 0 50%, var(--shade), transparent),
    radial-gradient(farthest-side at 100% 50%, var(--shade), transparent)
    100% 0, var(--surface);
  background-repeat: no-repeat; background-size: 40px 100%, 40px 100%,
    12px 100%, 12px 100%, 100% 100%;
  background-attachment: local, local, scroll, scroll, local; }
figure { margin: 0 0 18px; padding: 18px 18px 14px; }
figure svg { display: block; width: 100%; height: auto; margin: 0 auto; }
figure .narrow { display: none; }
figcaption { color: var(--muted); font-size: 13.5px; margin-top: 10px;
  padding-top: 10px; border-top: 1px solid var(--grid); }
figcaption b { color: var(--ink); }
table { border-collapse: collapse; width: 100%; font-size: 14px;
  font-variant-numeric: tabular-nums; }
th, td { padding: 7px 8px; text-align: left; white-space: nowrap;
  border-bottom: 1px solid var(--grid); }
tr > :first-child { padding-left: 2px; }
tbody tr:last-child > * { border-bottom: 0; }
thead th { color: var(--muted); font-weight: 500; font-size: 13px; }
tbody th { font-weight: 600; }
.results tr.last > * { border-bottom: 0; padding-bottom: 2px; }
.results tr.best > * { color: var(--muted); padding-top: 0; }
.results tr.unfinished > * { color: var(--muted); font-style: italic; }
.sd, .when, .seeds, .none { color: var(--muted); }
.wrap td { white-space: normal; min-width: 8em; }
ul.notes { color: var(--muted); font-size: 13.5px; padding-left: 18px;
  margin: 10px 0 0; }
details { margin: 10px 0; }
summary { cursor: pointer; color: var(--accent); }
details .panel { margin-top: 8px; }
.tall { max-height: 460px; overflow-y: auto; }
code, pre { font: 13px/1.5 ui-monospace, SFMono-Regular, Consolas,
  "DejaVu Sans Mono", monospace; }
pre { margin: 6px 0; white-space: pre-wrap; overflow-wrap: anywhere; }
a { color: var(--accent); }
@media (max-width: 640px) {
  main { padding: 24px 14px 40px; }
  h1 { font-size: 24px; } .lead { font-size: 16px; }
  .cards { grid-template-columns: 1fr 1fr; }
  figure { padding: 12px 8px 10px; } figcaption { padding: 10px 6px 0; }
  figure .wide { display: none; } figure .narrow { display: block; }
  .panel { padding: 4px 10px; }
  table { font-size: 13px; } th, td { padding: 6px; }
  .results .sd { display: block; font-size: 11px; line-height: 1.2; }
  .results th, .results td { padding: 6px 4px; vertical-align: top; }
  .results .when { white-space: normal; min-width: 4.9em; font-size: 11.5px; }
  .results tbody th { white-space: normal; }
}
@media print { body { background: none; } main { max-width: none; }
  figure, .panel { break-inside: avoid; border: 0; padding: 0; } }
"""


def document(title: str, body: Iterable[str]) -> str:
  """The whole page; `body` is markup, `title` plain text."""
  return "\n".join(
    [
      "<!doctype html>",
      '<html lang="en"><head><meta charset="utf-8">',
      '<meta name="viewport" content="width=device-width, initial-scale=1">',
      f"<title>{escape(title)}</title>",
      f"<style>{_CSS}</style></head><body><main>",
      *body,
      "</main></body></html>\n",
    ]
  )


def escape(value: object) -> str:
  """Text that is safe inside elements and attributes."""
  return html.escape(str(value), quote=True)


def element(name: str, text: object, **attributes: str) -> str:
  """One element that holds plain text."""
  given = "".join(f' {key}="{escape(v)}"' for key, v in attributes.items())
  return f"<{name}{given}>{escape(text)}</{name}>"


def table(
  header: Sequence[object],
  rows: Iterable[Sequence[object]],
  style: str = "",
) -> str:
  """A table of plain text whose first column names the row."""
  lines = [f"<table class='{style}'><thead><tr>"]
  lines += [element("th", cell) for cell in header]
  lines.append("</tr></thead><tbody>")
  for first, *rest in rows:
    cells = "".join(element("td", cell) for cell in rest)
    lines.append(f"<tr><th scope='row'>{escape(first)}</th>{cells}</tr>")
  return "\n".join([*lines, "</tbody></table>"])


def panel(content: str, style: str = "") -> str:
  """A box that scrolls sideways by itself when its content is wide."""
  return f"<div class='panel {style}'>{content}</div>"


def details(summary: str, content: str, is_open: bool = False) -> str:
  """Markup that is folded away until asked for."""
  state = " open" if is_open else ""
  return f"<details{state}>{element('summary', summary)}{content}</details>"


def cards(facts: Iterable[tuple[str, str]]) -> str:
  """A strip of named figures."""
  held = "".join(
    f"<div>{element('dt', name)}{element('dd', value)}</div>"
    for name, value in facts
  )
  return f"<dl class='cards'>{held}</dl>"


def figure(wide: str, narrow: str, title: str, caption: str) -> str:
  """A figure in its two layouts, with its caption."""
  label = escape(title)
  return (
    f"<figure><div class='wide' role='img' aria-label='{label}'>{wide}</div>"
    f"<div class='narrow' role='img' aria-label='{label}'>{narrow}</div>"
    f"<figcaption><b>{label}.</b> {escape(caption)}</figcaption></figure>"
  )
