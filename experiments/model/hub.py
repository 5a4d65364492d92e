"""Check with one short request whether a model of the Hub is available.

Loading would also show it, but only after a minute of retries for files that do not exist.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from urllib.parse import quote

from ..errors import UnknownName, UnsupportedModel, nearest
from .adapter import CONFIG
from .bundled import ALIASES

SECONDS = 5.0
# What is read of an adapter's repository: no pickles, no code.
READ = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]
WAY_OUT = "You can also name a local folder or a .gguf file."


@cache
def only_cached(name: str, revision: str | None = None) -> bool:
    """Whether the model must be read only from the Hub's cache, because the Hub cannot be reached.

    Raises UnknownName if the Hub has no such model or no such revision of it, and UnsupportedModel if reading it is not
    allowed, or if it is neither cached nor reachable.
    """
    from huggingface_hub import constants
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RevisionNotFoundError
    from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

    known = [*ALIASES, *cached_models()]
    try:
        # The client of the Hub's own package would try again and again.
        answer = get_session().get(
            f"{constants.ENDPOINT}/api/models/{name}" + (f"/revision/{quote(revision, safe='')}" if revision else ""),
            headers=build_hf_headers(),
            timeout=SECONDS,
            follow_redirects=True,
        )
        hf_raise_for_status(answer)
    except GatedRepoError as fault:
        raise UnsupportedModel(
            f"The model '{name}' is gated. Accept its terms on the Hub, then set HF_TOKEN to your token."
        ) from fault
    except RevisionNotFoundError as fault:
        raise UnsupportedModel(f"The model '{name}' has no revision '{revision}' on the Hub.") from fault
    except Exception as fault:
        # The Hub does not tell those who are not logged in whether a model is private or not there.
        if isinstance(fault, HfHubHTTPError) and fault.response.status_code in (401, 404):
            raise UnknownName("model", name, known, f"It was not found on the Hub. {WAY_OUT}") from fault
        # The possible errors depend on the HTTP library of the Hub's client.
        if is_cached(name, revision):
            return True
        what = f"{name}@{revision}" if revision else name
        raise UnsupportedModel(
            f"The model '{what}' is not on this machine, and the Hub cannot be reached ({type(fault).__name__}). "
            f"{nearest(name, known)} {WAY_OUT}"
        ) from fault
    return False


def is_cached(name: str, revision: str | None) -> bool:
    """Whether the Hub's cache contains this revision (None: the default branch) of a model or an adapter."""
    from huggingface_hub import try_to_load_from_cache

    files = ("config.json", CONFIG)
    return any(isinstance(try_to_load_from_cache(name, file, revision=revision), str) for file in files)


def adapter_folder(name: str, revision: str | None, local: bool) -> Path | None:
    """The folder in the Hub's cache with everything needed of a repository with an adapter; None for others."""
    from huggingface_hub import hf_hub_download, snapshot_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    try:
        hf_hub_download(name, CONFIG, revision=revision, local_files_only=local)
    except (EntryNotFoundError, LocalEntryNotFoundError):
        return None
    return Path(snapshot_download(name, revision=revision, local_files_only=local, allow_patterns=READ))


def cached_models() -> list[str]:
    """The ids of the models in the Hub's cache."""
    from huggingface_hub.constants import HF_HUB_CACHE

    folders = sorted(Path(HF_HUB_CACHE).glob("models--*"))
    return [folder.name.removeprefix("models--").replace("--", "/") for folder in folders]
