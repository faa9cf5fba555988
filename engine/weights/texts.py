# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts for the user about model weights."""

from __future__ import annotations

from ..messages import Message

_REINSTALL = "Install the plugin again."
_GET_AGAIN = "Get the file again, or choose the one that belongs to this system."
_BY_HAND = "download the file in a browser and import it"
_ELSEWHERE = f"get it from elsewhere: {_BY_HAND}."


class WeightsTexts:
    """Errors and progress lines of this package; see :mod:`changescribe.engine.messages`."""

    # Catalogue

    bad_entry = Message(
        'The entry "{id}" of the catalogue of weights is invalid: {problem}.', _REINSTALL
    )
    catalogue_unreadable = Message("The catalogue of weights cannot be read.", _REINSTALL)
    catalogue_missing = Message("The catalogue of weights is missing.", _REINSTALL)
    no_such_entry = Message('There are no weights named "{id}".', "Choose one of: {known}.")
    size_unknown = Message("size not known")

    # What the store has

    missing = Message("{title} is missing: {file}, {size}.")
    several_missing = Message("{title} is missing weights: {listed}.")
    damaged = Message(
        'The file "{path}" of {title} is damaged: {reason}.',
        "Remove it and get it again. {how_to_get}",
    )
    no_record = Message("its origin was not recorded; import it again")
    wrong_size = Message("its size is wrong")
    unreadable = Message("it cannot be read ({error})")
    wrong_hash = Message("the SHA-256 of {file} is not the expected one")
    how_to_fetch = Message(
        'Click "Download" in the ChangeScribe panel, or run "changescribe models fetch {id}". '
        'Without a network: "Import from folder", or "changescribe models import FILE --id {id}".'
    )
    how_to_import = Message(
        'Get it from {url}, then click "Import from folder", or run "changescribe models import '
        'FILE --id {id}".'
    )
    how_to_import_unpublished = Message(
        'Get it from its author, then click "Import from folder", or run "changescribe models '
        'import FILE --id {id}".'
    )
    terms = Message("Terms: {terms}")

    # Import

    nothing_to_import = Message(
        'There are no weights in "{source}".',
        "Looked for: {names}. Import a file of another name with "
        '"changescribe models import FILE --id ID".',
    )
    wrong_file = Message(
        '"{source}" is not the expected file of {title}; it was not imported.',
        "It may be incomplete, or of another version.",
    )
    link_outside = Message(
        '"{file}" is a link to a file outside the folder; nothing was imported.',
        "Copy the file itself into the folder.",
    )
    other_shards = Message(
        '"{file}" names files that are not in its folder; nothing was imported.',
        "The copy seems to be incomplete; download the folder again.",
    )
    other_system = Message(
        '"{source}" was trained for the system "{system}", not for {title}; it was not imported.',
        "Choose the entry of that system.",
    )
    imported = Message("Imported: {titles}.")

    # Disk

    no_room = Message(
        '{needed} are needed in "{folder}", but only {free} are free.',
        "Free some disk space, or choose another folder with CHANGESCRIBE_WEIGHTS.",
    )
    folder_fails = Message(
        'The folder of weights "{folder}" cannot be created.',
        "Choose another with CHANGESCRIBE_WEIGHTS.",
    )
    busy = Message(
        "{title} is being downloaded or imported by another ChangeScribe.",
        "Wait until that is done, then try again.",
    )
    source_unreadable = Message('"{source}" cannot be read.')

    # Download

    cannot_verify = Message(
        "ChangeScribe cannot download {title}: its SHA-256 is not known, so the file could not be "
        "verified."
    )
    server_busy = Message(
        "{host} cannot deliver the file at the moment (HTTP {code}).",
        f"Try again later; the download will resume. Or {_BY_HAND}.",
    )
    broke_off = Message(
        "The download from {host} broke off at {done} of {total}.", server_busy.hint
    )
    other_size = Message(
        "The file at {host} is not the expected one: it has {found} bytes instead of {expected}.",
        f"Update ChangeScribe, or {_ELSEWHERE}",
    )
    too_long = Message(
        "The file from {host} is not the expected one: it does not end after {expected} bytes.",
        f"Update ChangeScribe, or {_ELSEWHERE}",
    )
    other_hash = Message(
        "The file from {host} is not the expected one; it was deleted.",
        f"Try again later, or {_ELSEWHERE}",
    )
    untrusted = Message(
        "The certificate of {host} is not trusted here.",
        "Add your organisation's certificate in QGIS (Settings, Options, Authentication), or "
        f"{_BY_HAND}.",
    )
    unreachable = Message(
        "{host} cannot be reached.",
        f"Check the network and the proxy settings. Or, on another machine, {_BY_HAND}.",
    )
    proxy_login = Message(
        "The proxy requires a user name and a password.", "Enter them in QGIS's network settings."
    )
    forbidden = Message(
        "{host} restricts access to the file (HTTP {code}).",
        f"Accept its terms there if required, then {_BY_HAND}.",
    )
    gone = Message(
        "{host} no longer has the file (HTTP {code}).", f"Update ChangeScribe, or {_ELSEWHERE}"
    )
    socks = Message("Downloads cannot use a SOCKS proxy.", f"Set an HTTP proxy, or {_BY_HAND}.")
    unsafe_redirect = Message("{host} redirects to an insecure address.")
    not_http = Message('"{url}" is not a web address.')
    bad_certificates = Message("The file of trusted certificates cannot be read.")
    cancelled = Message("Cancelled.")
    download_cancelled = Message(
        "Cancelled. What has arrived is kept, and the next download resumes from there."
    )

    # Progress

    checking = Message("checking {file}")
    copying = Message("copying {file}")
    downloading = Message("downloading {file}")
    waiting = Message("waiting for {host}")
    retrying = Message("trying again")

    # Models by name

    no_model = Message(
        '"{name}" is not the name of a model.',
        "Give a folder, one of {known}, or owner/name@commit with all 40 digits of the commit.",
    )
    hub_fails = Message(
        "The model {name} cannot be downloaded.",
        "Get its folder on another machine and give its path.",
    )
    model_needs_package = Message("This model needs the package {package}, which is not installed.")
    system_needs_package = Message(
        "This system needs the package {package}, which is not installed."
    )

    # Reading weight files

    file_missing = Message('The weight file "{path}" is missing.', _GET_AGAIN)
    unsafe_file = Message(
        '"{file}" is not a file of weights that can be read safely.',
        "It is incomplete, or it contains programs besides numbers, which are never run.",
    )
    not_safetensors = Message('"{file}" cannot be read as safetensors.', _GET_AGAIN)
    no_tensors = Message('"{file}" contains no weights.', _GET_AGAIN)
    no_tensors_with_prefix = Message(
        '"{file}" contains no weights named "{prefix}...".', _GET_AGAIN
    )
    other_model = Message('"{file}" does not contain the weights of this model.', _GET_AGAIN)
    no_transformers_folder = Message(
        '"{folder}" is not a model folder of transformers.', _GET_AGAIN
    )
    model_fails = Message(
        'The model in "{folder}" cannot be loaded.',
        "The folder lacks files, or its model needs code of its own, which is never run.",
    )
    not_trained_here = Message('"{file}" was not made by "changescribe train".', _GET_AGAIN)
    unknown_program = Message(
        '"{file}" contains an unknown program (TorchScript).', "Use the weights as safetensors."
    )
    archive_unreadable = Message('"{file}" cannot be read.', _GET_AGAIN)
