"""Checkpoints: the published file reads; whatever is not one gets one line that says where, what and what to do."""

from __future__ import annotations

import gzip
import io
import pickle
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from smsr import contract
from smsr.checkpoint import CheckpointWarning, load_network
from smsr.network import Network, NetworkConfig
from smsr_runtime.bundle import sha256
from smsr_runtime.errors import CheckpointError
from tests.helpers import random_network

State = dict[str, Tensor]
SMALL = NetworkConfig(scale=2, features=16, modules=1, layers=2)


def state_of(config: NetworkConfig = SMALL) -> State:
    return random_network(config).state_dict()


def saved(folder: Path, content: object, name: str = "net.pt") -> Path:
    torch.save(content, folder / name)
    return folder / name


def refusal(path: Path) -> str:
    """The one line that refuses the file; it names the file and is an SMSR error of the right class."""
    with warnings.catch_warnings(), pytest.raises(CheckpointError) as caught:
        warnings.simplefilter("error")
        load_network(path)
    text = str(caught.value)
    assert "\n" not in text and text.startswith(f"{path}: expected ") and ", got " in text and "; " in text
    assert all([caught.value.expected, caught.value.got, caught.value.todo]) and caught.value.exit_code == 1
    assert len(text) < 500 and "weights_only" not in text
    return text


def test_the_published_checkpoint_reads(x2_checkpoint: Path) -> None:
    network = load_network(x2_checkpoint)
    assert network.config == NetworkConfig(scale=2, features=64, modules=5, layers=4)
    assert not network.training and {p.dtype for p in network.parameters()} == {torch.float32}
    assert sha256(x2_checkpoint).startswith("fe2a9ea0")


@pytest.mark.parametrize(
    "config",
    [SMALL, NetworkConfig(3, 32, 2, 4), NetworkConfig(4, 48, 3, 1), NetworkConfig(2, 16, 11, 6)],
    ids=str,
)
def test_scale_features_modules_and_layers_are_recognised(config: NetworkConfig, tmp_path: Path) -> None:
    state = state_of(config)
    network = load_network(saved(tmp_path, state))
    assert network.config == config
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())


WRAPPINGS: dict[str, Callable[[State], object]] = {
    "bare": lambda state: state,
    "state_dict": lambda state: {"state_dict": state, "epoch": 7},
    "params": lambda state: {"params": state},
    "model": lambda state: {"model": state, "optimizer": {"lr": 1e-3}},
    "two wrappers": lambda state: {"model": {"state_dict": state}},
    "module.": lambda state: {f"module.{name}": value for name, value in state.items()},
    "wrapped module.": lambda state: {"state_dict": {f"module.{name}": value for name, value in state.items()}},
}


DEEPER: dict[str, Callable[[State], object]] = {
    "params_ema": lambda state: {"params_ema": state, "iter": 3},
    "ema": lambda state: {"ema": state},
    "model_state_dict": lambda state: {"model_state_dict": state, "optimizer_state_dict": {"state": {}}},
    "net": lambda state: {"net": state},
    "Lightning": lambda state: {
        "state_dict": {f"net.{name}": value for name, value in state.items()},
        "pytorch-lightning_version": "2.4.0", "hyper_parameters": {"lr": 1e-3}, "loops": {"a": {"b": 1}},
    },
    "compiled": lambda state: {f"_orig_mod.{name}": value for name, value in state.items()},
    "compiled in parallel": lambda state: {
        "model": {f"module._orig_mod.{name}": value for name, value in state.items()}
    },
    "five deep": lambda state: {"a": {"b": {"c": {"d": {"e": state}}}}},
}  # fmt: skip


@pytest.mark.parametrize("wrapping", DEEPER)
def test_what_other_trainers_save_reads_without_a_note(wrapping: str, tmp_path: Path) -> None:
    state, notes = state_of(), list[str]()
    network = load_network(saved(tmp_path, DEEPER[wrapping](state), "net.ckpt"), say=notes.append)
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items()) and not notes


def doubled(state: State) -> State:
    return {name: 2 * value for name, value in state.items()}


TWO_SETS: dict[str, Callable[[State], object]] = {
    "params.params_ema": lambda state: {"params": doubled(state), "params_ema": state},
    "state_dict.ema_state_dict": lambda state: {"state_dict": doubled(state), "ema_state_dict": state},
    "model.ema.shadow": lambda state: {"model": doubled(state), "ema": {"shadow": state, "decay": 0.999}},
    "online_model.ema_model": lambda state: {
        **{f"online_model.{name}": value for name, value in doubled(state).items()},
        **{f"ema_model.{name}": value for name, value in state.items()},
    },
}


@pytest.mark.parametrize("names", TWO_SETS)
def test_of_raw_and_averaged_weights_the_averaged_are_taken_and_said_and_either_can_be_named(
    names: str, tmp_path: Path
) -> None:
    state, notes = state_of(), list[str]()
    raw, averaged = names.split(".", 1)
    path = saved(tmp_path, TWO_SETS[names](state))
    network = load_network(path, say=notes.append)
    assert torch.equal(network.state_dict()[WEIGHT], state[WEIGHT])
    assert len(notes) == 1 and f"{raw}, {averaged}" in notes[0] and f"is taken, {averaged};" in notes[0]
    for wanted, factor in ((raw, 2), (averaged, 1)):
        named = load_network(path, weights=wanted, say=notes.append)
        assert torch.equal(named.state_dict()[WEIGHT], factor * state[WEIGHT]) and len(notes) == 1


def test_several_sets_of_which_none_is_averaged_are_refused_by_name(tmp_path: Path) -> None:
    path = saved(tmp_path, {"generator": state_of(), "best": state_of()})
    text = refusal(path)
    assert "generator, best" in text and "--weights" in text
    assert load_network(path, weights="best").config == SMALL
    with pytest.raises(
        CheckpointError, match="one set of weights named ema, got 0 of that name; it has generator, best"
    ):
        load_network(path, weights="ema")


def test_a_choice_is_a_warning_where_nobody_listens(tmp_path: Path) -> None:
    path = saved(tmp_path, {"params": state_of(), "params_ema": state_of()})
    with pytest.warns(CheckpointWarning, match="the averaged one is taken, params_ema"):
        load_network(path)


def test_counters_of_thop_and_other_networks_beside_are_left_out_and_said(tmp_path: Path) -> None:
    notes: list[str] = []
    counters = {"total_ops": torch.zeros(1), "head.0.total_ops": torch.zeros(1), "body.0.total_params": torch.zeros(1)}
    assert load_network(saved(tmp_path, {**state_of(), **counters}), say=notes.append).config == SMALL
    assert len(notes) == 1 and "left out: 3 counters of thop" in notes[0]
    beside = {**{f"net.{name}": value for name, value in state_of().items()}, "loss.vgg.0.weight": torch.ones(2)}
    assert load_network(saved(tmp_path, {"state_dict": beside}), say=notes.append).config == SMALL
    assert "left out: 1 tensors beside state_dict.net (loss.vgg.0.weight)" in notes[1] and len(notes) == 2


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_wrappers_and_prefixes_are_taken_off(wrapping: str, tmp_path: Path) -> None:
    state = state_of()
    network = load_network(saved(tmp_path, WRAPPINGS[wrapping](state)))
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ""])
def test_safetensors_read_whatever_their_name(suffix: str, tmp_path: Path) -> None:
    save_file(state_of(), tmp_path / f"net{suffix}")
    assert load_network(tmp_path / f"net{suffix}").config == SMALL


@pytest.mark.parametrize("name", ["net.pt", "net.safetensors"])
@pytest.mark.parametrize("legacy", [False, True])
def test_both_pytorch_file_formats_read_whatever_their_name(legacy: bool, name: str, tmp_path: Path) -> None:
    torch.save(state_of(), tmp_path / name, _use_new_zipfile_serialization=not legacy)
    assert load_network(tmp_path / name).config == SMALL


def test_a_file_written_without_checksums_reads(tmp_path: Path) -> None:
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(state_of(), tmp_path / "net.pt")
    finally:
        torch.serialization.set_crc32_options(True)
    assert load_network(tmp_path / "net.pt").config == SMALL


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floating_point_types_become_float32_their_mean_rounded_too(dtype: torch.dtype, tmp_path: Path) -> None:
    state = {name: value.to(dtype) for name, value in with_mean().items()}
    network = load_network(saved(tmp_path, state))
    assert {p.dtype for p in network.parameters()} == {torch.float32}
    assert all(torch.equal(value, state[name].float()) for name, value in network.state_dict().items())


def with_mean() -> State:
    mean = torch.tensor(contract.RGB_MEAN)
    constants = {"sub_mean.bias": -mean, "add_mean.bias": mean}
    eye = torch.eye(3).view(3, 3, 1, 1)
    return {**state_of(), **constants, "sub_mean.weight": eye, "add_mean.weight": eye.clone()}


def test_the_constant_mean_may_come_along(tmp_path: Path) -> None:
    assert load_network(saved(tmp_path, with_mean())).config == SMALL


def other(name: str, value: Tensor | None, base: Callable[[], State] = state_of) -> State:
    state = dict(base())
    state.pop(name, None)
    return state if value is None else {**state, name: value}


WEIGHT = "body.0.body.body.1.weight"


def in_itself() -> dict[str, object]:
    wrapper: dict[str, object] = {}
    wrapper["model"] = wrapper
    return wrapper


WRONG_STATES: dict[str, tuple[Callable[[], object], tuple[str, ...]]] = {
    "another network": (
        lambda: torch.nn.Sequential(torch.nn.Linear(2, 3)).state_dict(),
        ("head.0.weight", "tail.0.weight", "body.0.body.ch_mask", "2 tensors", "0.bias"),
    ),
    "one tensor missing": (lambda: other(WEIGHT, None), ("1 missing", WEIGHT)),
    "a middle module missing": (
        lambda: {k: v for k, v in state_of(NetworkConfig(2, 16, 3, 1)).items() if not k.startswith("body.1.")},
        ("missing", "body.1."),
    ),
    "one tensor too many": (lambda: other("extra.weight", torch.ones(2)), ("1 unknown", "extra.weight")),
    "a module number out of this world": (
        lambda: other("body.99999999.x", torch.ones(2)), ("unknown", "body.99999999.x")
    ),
    "wrong shape": (lambda: other(WEIGHT, torch.ones(16, 16, 1, 1)), (WEIGHT, "(16, 16, 3, 3)", "(16, 16, 1, 1)")),
    "integers": (lambda: other(WEIGHT, torch.ones(16, 16, 3, 3, dtype=torch.int64)), (WEIGHT, "int64")),
    "complex": (lambda: other(WEIGHT, torch.ones(16, 16, 3, 3, dtype=torch.complex64)), (WEIGHT, "complex64")),
    "NaN": (lambda: other(WEIGHT, torch.full((16, 16, 3, 3), torch.nan)), ("NaN", WEIGHT)),
    "infinity": (lambda: other(WEIGHT, torch.full((16, 16, 3, 3), -torch.inf)), ("infinity", WEIGHT)),
    "infinity in float32 only": (
        lambda: other(WEIGHT, torch.full((16, 16, 3, 3), 1e300, dtype=torch.float64)), ("infinity", WEIGHT)
    ),
    "a sparse tensor": (lambda: other(WEIGHT, torch.ones(16, 16).to_sparse()), (WEIGHT, "sparse")),
    "a meta tensor": (lambda: other(WEIGHT, torch.ones(16, 16, 3, 3, device="meta")), (WEIGHT, "meta")),
    "a tensor of one number": (
        lambda: other(WEIGHT, torch.ones(1).expand(16, 16, 3, 3)), (WEIGHT, "stores fewer numbers")
    ),
    "a thousand modules": (
        lambda: {**state_of(), **{f"body.{index}.x": torch.ones(1) for index in range(1000)}}, ("unknown", "body.0.x")
    ),
    "another mean": (lambda: other("sub_mean.bias", torch.zeros(3), with_mean), ("sub_mean.bias", "0.0")),
    "a mean of 0..1": (
        lambda: other("sub_mean.bias", -torch.tensor(contract.RGB_MEAN) / 255, with_mean), ("0..255", "-0.44")
    ),
    "NaN mean": (lambda: other("add_mean.bias", torch.full((3,), torch.nan), with_mean), ("add_mean.bias", "nan")),
    "odd scale": (lambda: other("tail.0.weight", torch.ones(75, 16, 3, 3)), ("scale", "5")),
    "features of 24": (lambda: other("body.0.body.ch_mask", torch.ones(1, 24, 2, 2)), ("multiple of 16", "24")),
    "features beyond memory": (
        lambda: other("body.0.body.ch_mask", torch.ones(1, 1, 1, 1).expand(1, 1 << 20, 2, 2)), ("shape",)
    ),
    "layers without end": (
        lambda: other("body.0.body.ch_mask", torch.ones(1, 16, 1, 1).expand(1, 16, 1 << 30, 2)), ("layers",)
    ),
    "a mask of another rank": (lambda: other("body.0.body.ch_mask", torch.ones(16)), ("ch_mask", "(16,)")),
    "a tail without shape": (lambda: other("tail.0.weight", torch.tensor(1.0)), ("tail.0.weight", "()")),
    "no tensors": (lambda: {"lr": 3, "steps": [1, 2]}, ("state_dict", "lr, steps")),
    "empty": (dict, ("state_dict",)),
    "an empty wrapper": (lambda: {"state_dict": {}}, ("state_dict",)),
    "a wrapper in itself": (in_itself, ("state_dict",)),
    "a list": (lambda: [torch.ones(2)], ("list",)),
    "a tensor": (lambda: torch.ones(2), ("Tensor",)),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG_STATES)
def test_a_state_that_does_not_fit_is_refused_in_one_line(wrong: str, tmp_path: Path) -> None:
    make, words = WRONG_STATES[wrong]
    text = refusal(saved(tmp_path, make()))
    assert all(word in text for word in words), text


def zipped() -> bytes:
    file = io.BytesIO()
    torch.save(state_of(), file)
    return file.getvalue()


def in_memory(write: Callable[[io.BytesIO], object]) -> bytes:
    file = io.BytesIO()
    write(file)
    return file.getvalue()


def one_weight_changed() -> bytes:
    """A bit of a weight's exponent, where torch.load sees nothing wrong."""
    data = bytearray(zipped())
    place = data.index(state_of()[WEIGHT].numpy().tobytes())
    data[place + 3] ^= 0x40
    return bytes(data)


def recompressed() -> bytes:
    """As zipped by hand: the same members, deflated."""

    def write(file: io.BytesIO) -> None:
        with zipfile.ZipFile(io.BytesIO(zipped())) as old, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new:
            for member in old.namelist():
                new.writestr(member, old.read(member))

    return in_memory(write)


def zipped_text() -> bytes:
    def write(file: io.BytesIO) -> None:
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("readme.txt", "hello")

    return in_memory(write)


def scripted() -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # PyTorch no longer recommends what people still have
        return in_memory(lambda file: torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), file))


WRONG_FILES: dict[str, tuple[Callable[[], bytes], str]] = {
    "Git LFS pointer": (
        lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
        "a Git LFS pointer",
    ),
    "TorchScript": (scripted, "a TorchScript archive; in PyTorch: torch.save(torch.jit.load(THIS).state_dict()"),
    "npz": (lambda: in_memory(lambda file: np.savez(file, a=np.ones(3))), "a NumPy archive (.npz)"),
    "npy": (lambda: in_memory(lambda file: np.save(file, np.ones(3))), "a NumPy array"),
    "gzip": (lambda: gzip.compress(zipped()), "a compressed archive"),
    "a ZIP file of something else": (zipped_text, "a ZIP file with other content"),
    "deflated members": (recompressed, "compressed or overlap"),
    "one weight changed": (one_weight_changed, "the checksum of archive/data/"),
    "HDF5": (lambda: b"\x89HDF\r\n\x1a\n" + bytes(99), "an HDF5 file"),
    "empty": (lambda: b"", "an empty file"),
    "web page": (lambda: b"\n<!DOCTYPE html><html><body>404</body></html>", "a web page"),
    "web page with a byte-order mark": (lambda: b"\xef\xbb\xbf<html><head></head></html>", "a web page"),
    "random bytes": (lambda: bytes(range(256)) * 9, "something else"),
    "text": (lambda: b"version 1 of something\n", "something else"),
    "cut short": (lambda: zipped()[:5000], "damaged or cut"),
    "cut at half": (lambda: zipped()[: len(zipped()) // 2], "damaged or cut"),
    "a plain pickle": (lambda: pickle.dumps({"a": 1}), "something else"),
}


@pytest.mark.parametrize("wrong", WRONG_FILES)
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_file_that_is_no_checkpoint_is_refused_in_one_line(wrong: str, suffix: str, tmp_path: Path) -> None:
    make, got = WRONG_FILES[wrong]
    path = tmp_path / f"net{suffix}"
    path.write_bytes(make())
    text = refusal(path)
    assert got in text or (suffix == ".safetensors" and "a safetensors file, got " in text), text


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "none.pt").lower()
    assert "a folder" in refusal(tmp_path)


class Harm:
    """Writes a file where it is unpickled."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.proof,)


class OpenHarm(Harm):
    def __reduce__(self) -> tuple[object, ...]:
        return open, (str(self.proof), "w")


@pytest.mark.parametrize("harm", [Harm, OpenHarm])
@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("inside", [False, True])
def test_a_pickle_that_would_run_code_is_refused_and_runs_none(
    harm: type[Harm], legacy: bool, inside: bool, tmp_path: Path
) -> None:
    proof = tmp_path / "ran"
    content = {**state_of(), "x": harm(proof)} if inside else harm(proof)
    torch.save(content, tmp_path / "net.pt", _use_new_zipfile_serialization=not legacy)
    text = refusal(tmp_path / "net.pt")
    assert "would run code" in text and "nothing was run" in text
    assert not proof.exists()
    loaded = torch.load(tmp_path / "net.pt", weights_only=False)
    if harm is OpenHarm:
        (loaded["x"] if inside else loaded).close()
    assert proof.exists(), "the file is harmless: the test proves nothing"


def test_a_bare_pickle_that_would_run_code_runs_none(tmp_path: Path) -> None:
    (tmp_path / "net.pt").write_bytes(pickle.dumps(Harm(tmp_path / "ran")))
    refusal(tmp_path / "net.pt")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("legacy", [False, True])
def test_a_whole_pickled_network_is_refused(legacy: bool, tmp_path: Path) -> None:
    torch.save(Network(SMALL), tmp_path / "net.pt", _use_new_zipfile_serialization=not legacy)
    # Files of the old format name the classes of parts first.
    whole = "torch.nn.modules.conv.Conv2d" if legacy else "smsr.network.Network"
    assert f"run code ({whole})" in refusal(tmp_path / "net.pt")


@pytest.mark.parametrize("legacy", [False, True])
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_bytes_never_give_another_error(legacy: bool, data: st.DataObject, tmp_path: Path) -> None:
    """A damaged file either still reads or is refused by a CheckpointError, whatever byte changed."""
    path = tmp_path / "net.pt"
    torch.save({"a": torch.ones(3), "b": torch.zeros(2)}, path, _use_new_zipfile_serialization=not legacy)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(1, len(content)))])
    with pytest.raises(CheckpointError):
        load_network(path)
