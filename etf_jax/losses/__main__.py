# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Makes the reference section of a Markdown page from the docstrings.

In use::

    python -m etf_jax.losses                           # prints the section
    python -m etf_jax.losses etf_jax/losses/README.md  # renews it in place
"""

import argparse
import inspect
import math
import pathlib
import re
import sys
import types

from etf_jax import etf, losses

MARKER = "<!-- Made by python -m etf_jax.losses from here on. -->"
GROUPS = {
  "Dot regression": (
    losses.dot_regression,
    losses.dot_regression_with_integer_labels,
    losses.feature_length_penalty,
  ),
  "HingeCE": (
    losses.hinge_cross_entropy_with_integer_labels,
    losses.hinge_logits,
  ),
  "Losses on logits": (
    losses.logit_adjusted,
    losses.balanced_softmax,
    losses.ldam,
    losses.focal,
    losses.adjust_logits,
  ),
  "Weights, mixup and analysis": (
    losses.class_balanced_weights,
    losses.inverse_frequency_weights,
    losses.deferred_weights,
    losses.mixup,
    losses.pull_push,
    losses.PullPush,
  ),
  "Geometry": (
    etf.simplex_etf,
    etf.uniform_qr_etf,
    etf.class_lengths,
    etf.batch_class_lengths,
    etf.softmax_code,
  ),
}
_SECTIONS = (
  "Args",
  "Attributes",
  "Returns",
  "Raises",
  "Examples",
  "References",
)


def section() -> str:
  """Return the reference of all public names, from `MARKER` on."""
  parts = [MARKER, "## Reference"]
  for title, symbols in GROUPS.items():
    parts.append(f"### {title}")
    for symbol in symbols:
      parts += [f"#### `{name(symbol)}`", _signature(symbol), _body(symbol)]
  return "\n\n".join(parts) + "\n"


def renew(page: str) -> str:
  """Return `page` with everything from `MARKER` on made anew."""
  if MARKER not in page:
    raise ValueError(f"the page has no line {MARKER}")
  return page[: page.index(MARKER)] + section()


def name(symbol: types.FunctionType | type) -> str:
  """The name that users import a public symbol by."""
  home = "losses" if hasattr(losses, symbol.__name__) else "etf"
  return f"{home}.{symbol.__name__}"


def _signature(symbol: types.FunctionType | type) -> str:
  if inspect.isclass(symbol):
    return "A named tuple."
  parameters = []
  star = False
  for parameter in inspect.signature(symbol).parameters.values():
    if parameter.kind is parameter.KEYWORD_ONLY and not star:
      parameters.append("*")
      star = True
    default = parameter.default
    if default is inspect.Parameter.empty:
      parameters.append(parameter.name)
    else:
      shown = "pi" if default == math.pi else repr(default).replace("'", '"')
      parameters.append(f"{parameter.name}={shown}")
  lines = "".join(f"  {parameter},\n" for parameter in parameters)
  return f"```python\n{name(symbol)}(\n{lines})\n```"


def _body(symbol: types.FunctionType | type) -> str:
  blocks: dict[str, list[str]] = {"": []}
  title = ""
  for line in inspect.getdoc(symbol).splitlines():
    if line.endswith(":") and line[:-1] in _SECTIONS:
      title = line[:-1]
      blocks[title] = []
    else:
      blocks[title].append(line)
  parts = []
  for title, lines in blocks.items():
    text = inspect.cleandoc("\n".join(["", *lines])).strip()
    if title == "Examples":
      parts.append(f"```pycon\n{text}\n```")
    elif title in ("Args", "Attributes"):
      items = re.sub(r"^(\w+): ", r"- `\1`: ", text, flags=re.M)
      parts.append(f"*{title}*\n\n{_markdown(items)}")
    elif title:
      parts.append(f"*{title}*: {_markdown(text)}")
    else:
      parts.append(_markdown(text))
  return "\n\n".join(parts)


def _markdown(text: str) -> str:
  text = re.sub(
    r"^\.\. math::\n((?:[ ]+\S.*\n?|\n(?=[ ]))+)",
    lambda found: (
      "```math\n" + inspect.cleandoc("\n" + found[1]).strip() + "\n```\n"
    ),
    text,
    flags=re.M,
  )
  text = re.sub(r":math:`([^`]*)`", r"$`\1`$", text)
  text = re.sub(
    r"`([^`<]*?)\s+<([^>`]*)>`_",
    lambda found: f"[{' '.join(found[1].split())}]({found[2]})",
    text,
  )
  return re.sub(r"(?<!`)``([^`]+)``(?!`)", r"`\1`", text)


def main(argv: list[str]) -> None:
  """Print the section, or renews it in the file that is named."""
  parser = argparse.ArgumentParser(
    prog="python -m etf_jax.losses", description=__doc__.splitlines()[0]
  )
  parser.add_argument(
    "file", nargs="?", type=pathlib.Path, help="a page to renew in place"
  )
  file = parser.parse_args(argv).file
  if file is None:
    print(section(), end="")
  else:
    file.write_text(renew(file.read_text()))


if __name__ == "__main__":
  main(sys.argv[1:])
