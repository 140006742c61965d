# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Weights by name: `model.safetensors` of a repository of the Hugging Face Hub.

path, name = download("hf:timm/resnet18.a1_in1k")  # name: hf:timm/...@COMMIT

A file is fetched once; after that the hub's cache has it, which HF_HOME moves
and HF_HUB_OFFLINE=1 does not look beyond.
"""

import logging
from pathlib import Path

from etf_jax.errors import InputError
from etf_jax.runs.identity import HUB

_FILE = "model.safetensors"


def download(name: str, field: str = "config.init_from") -> tuple[Path, str]:
  """Return the path of a repository's weights, and their name with a commit.

  Args:
    name: `hf:ORG/NAME`, the newest weights, or `hf:ORG/NAME@REVISION`, those of
      a commit, tag or branch.
    field: what has the name, in messages.

  Raises:
    InputError: there are none, or they cannot be had without a network.
  """
  field = f"{field}={name!r}"
  try:
    import huggingface_hub
    from huggingface_hub import constants, errors
  except ImportError as error:
    raise InputError(
      f"{field}: needs huggingface_hub; pip install 'etf_jax[hub]'"
    ) from error
  # One line here says what its retries do in ten.
  logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
  repository, _, revision = name.removeprefix(HUB).partition("@")
  try:
    path = huggingface_hub.hf_hub_download(
      repository, _FILE, revision=revision or None
    )
  except errors.HFValidationError as error:
    raise InputError(
      f"{field}: is no name of a repository; give {HUB}ORG/NAME, or"
      f" {HUB}ORG/NAME@REVISION"
    ) from error
  except errors.LocalEntryNotFoundError as error:
    raise InputError(
      f"{field}: is not in {constants.HF_HUB_CACHE}, and the hub cannot be"
      " reached; connect once, or give a .safetensors file"
    ) from error
  except errors.GatedRepoError as error:
    raise InputError(
      f"{field}: the hub asks who you are; accept its terms there, then: hf"
      " auth login"
    ) from error
  except errors.RepositoryNotFoundError as error:
    raise InputError(
      f"{field}: the hub has no such repository, or it is private; check the"
      " name, or: hf auth login"
    ) from error
  except errors.RevisionNotFoundError as error:
    raise InputError(
      f"{field}: has no revision {revision!r}; give a commit, tag or branch"
    ) from error
  except errors.EntryNotFoundError as error:
    raise InputError(
      f"{field}: has no {_FILE}; convert another file of it: python -m"
      " etf_jax.convert"
    ) from error
  except (errors.HfHubHTTPError, OSError) as error:
    message = str(error).strip().partition("\n")[0]
    raise InputError(
      f"{field}: cannot be fetched ({message}); try again"
    ) from error
  # The cache keeps a revision's files below a folder of its commit.
  return Path(path), f"{HUB}{repository}@{Path(path).parent.name}"
