"""States of map2map: every network takes them as they are and gives map2map's numbers; what else a file may hold."""

import pickle

import pytest
import torch

from m2m_core import models
from m2m_core.errors import ConfigError, DataError
from m2m_core.models import initial
from m2m_core.models.map2map import names
from m2m_core.models.weights import save_weights
from tests.models.references import NETWORKS, field, output, parameters, state, style

COUNTS = {"UNet": 1_808_003, "VNet": 1_825_222, "G": 6_975_826, "D": 7_405_569, "StyledVNet": 1_828_178,
          "nbody.StyledVNet": 3_352_210, "PatchGAN": 283_137, "PatchGAN42": 2_635_201}  # fmt: skip
SMALL = {"width": 2, "depth": 1}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(1)
    yield
    torch.set_num_threads(before)


def network(name):
    kind, ours, options, channels = NETWORKS[name]
    if kind == "discriminator":
        return models.build_discriminator(ours, options, *channels, 3).eval()
    return models.build(ours, options, *channels, 3, styles=0 if style(name) is None else 1).eval()


def saved(path, weights, name="model", **more):
    """A checkpoint as map2map writes it."""
    torch.save({"epoch": 3, "optimizer": {"state": {}}, "rng": torch.get_rng_state(), name: weights, **more}, path)
    return str(path)


def begin(modules, path, strict=True, sha256=None):
    said = []
    initial.load(modules, str(path), strict, sha256, said.append)
    return said


def result(net, name):
    """All that map2map's network returns of its input."""
    x = field(name)
    if name == "G":
        noise = [torch.zeros(1, 1, *level.block((0,) * 3, x.shape[2:])[1]) for level in net.geometry.noise]
        return net.grown(x, noise)
    return net(x) if style(name) is None else net(x, style(name))


def each():
    """The networks; the largest, whose least input has 104 voxels an edge, takes as long as a workflow."""
    for name in NETWORKS:
        yield pytest.param(name, marks=[pytest.mark.workflow] if name == "nbody.StyledVNet" else [])


@pytest.mark.parametrize("name", list(each()))
def test_a_state_of_map2map_gives_the_numbers_of_map2map(name, tmp_path):
    net = network(name)
    if NETWORKS[name][0] == "model":
        path = saved(tmp_path / "state_3.pt", state(name))
        assert begin({"model": net}, path) == [f"begins with weights of {path}"]
    else:
        path = saved(tmp_path / "state_3.pt", state("UNet"), adv_model=state(name))
        begin({"model": network("UNet"), "discriminator": net}, path)
    with torch.no_grad():
        found, expected = result(net, name), output(name)
    assert found.shape == expected.shape
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max()


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_has_the_weights_of_map2map_and_no_others(name):
    net, theirs = network(name), state(name)
    assert sum(p.numel() for p in net.parameters()) == parameters(name) == COUNTS[name]
    assert {ours: theirs[key].shape for key, ours in names(theirs).items()} == {
        key: value.shape for key, value in net.state_dict().items()
    }


def test_the_generator_returns_the_voxels_of_its_crop_alone():
    net = models.build("stylegan2_generator", {"width": 4, "narrowest": 2}, 6, 6, 3).eval()
    with torch.no_grad():
        noise = [torch.randn(1, 1, *level.block((0,) * 3, (8,) * 3)[1]) for level in net.geometry.noise]
        assert torch.equal(net(field("G"), noise), net.grown(field("G"), noise)[:, :, 3:-3, 3:-3, 3:-3])
    assert net.geometry.core((8, 8, 8)) == (16, 16, 16)


def test_spectrally_normalised_states_keep_their_vectors():
    net = models.build_discriminator("patchgan", {"spectral_norm": True}, 3, 3)
    theirs = [key.replace("weight", "weight_orig") if key.endswith("0.weight") else key for key in state("PatchGAN")]
    vectors = [key.replace("weight_orig", f"weight_{v}") for key in theirs if key.endswith("_orig") for v in "uv"]
    assert set(names([*theirs, *vectors]).values()) == set(net.state_dict())


# ---- what a file may hold


@pytest.fixture
def pair():
    return [models.build("vnet", SMALL, 2, 2, 2, "zero") for _ in range(2)]


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


@pytest.mark.parametrize("form", ["bare", "parallel", "old", "half", "ours", "safetensors"])
def test_every_form_of_a_state_is_taken(pair, tmp_path, form):
    one, other = pair
    path, weights = tmp_path / "state.pt", one.state_dict()
    if form == "ours":
        save_weights(path, {"model": weights})
    elif form == "safetensors":
        import safetensors.torch

        safetensors.torch.save_file(weights, path)
    elif form == "half":
        one.half(), saved(path, one.state_dict())
        one.float()
    elif form == "parallel":
        saved(path, {f"module.{key}": value for key, value in weights.items()})
    else:
        torch.save(weights, path, _use_new_zipfile_serialization=form != "old")
    begin({"model": other}, path)
    assert same(one, other)


class Attack:
    def __reduce__(self):
        return (print, ("executed",))


@pytest.mark.parametrize("old", [True, False])
def test_a_pickle_that_names_code_is_refused_and_not_executed(pair, tmp_path, capsys, old):
    path = tmp_path / "state.safetensors"
    torch.save({"model": pair[0].state_dict(), "x": Attack()}, path, _use_new_zipfile_serialization=not old)
    with pytest.raises(DataError, match=r"state.safetensors: names the code \S*print, .* refused") as caught:
        begin({"model": pair[1]}, path)
    assert "\n" not in str(caught.value) and "executed" not in capsys.readouterr().out


def test_files_that_are_damaged_changed_or_something_else_are_refused(pair, tmp_path):
    path = tmp_path / "state.pt"
    whole = open(saved(path, pair[0].state_dict()), "rb").read()
    at = whole.index(pair[0].encode[0].convs[0].weight.detach().numpy().tobytes())
    contents = {
        "": "not readable as weights", whole[: len(whole) // 2]: "not readable as weights",
        whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]: "checksum", b"text": "not readable as weights",
        pickle.dumps([1], 2): "refused|not readable", whole + b"x" * 70_000: "not readable",
    }  # fmt: skip
    for content, reason in contents.items():
        path.write_bytes(content or b"")
        with pytest.raises(DataError, match=f"^training.initial_weights: .*state.pt: .*({reason})") as caught:
            begin({"model": pair[1]}, path)
        assert len(str(caught.value).splitlines()) == 1
    path.write_bytes(whole)
    with pytest.raises(DataError, match="not 000000000000: the file has changed"):
        begin({"model": pair[1]}, path, sha256="0" * 64)
    with pytest.raises(DataError, match="No such file"):
        begin({"model": pair[1]}, tmp_path / "none.pt")
    weights = pair[0].state_dict()
    for value, text in [(torch.full((2,), torch.nan), "not finite"), ("text", "of the type str")]:
        saved(path, {**weights, "decode.0.skip.bias": value})
        with pytest.raises(DataError, match=f"decode.0.skip.bias is {text}; expected"):
            begin({"model": pair[1]}, path)


def test_the_first_wrong_key_is_named_with_both_shapes(pair, tmp_path):
    path, weights = tmp_path / "state.pt", pair[0].state_dict()
    wide = models.build("vnet", {**SMALL, "width": 3}, 2, 2, 2).state_dict()
    before = {key: value.clone() for key, value in pair[1].state_dict().items()}
    cases = {
        r"encode.0.convs.0.weight is \(3, 2, 3, 3\), but encode.0.convs.0.weight of the model \(2, 2, 3, 3\)": wide,
        r"conv_l0.convs.0.weight is \(64, 3, 3, 3, 3\), but encode.0.convs.0.weight of the model": state("VNet"),
        r"has no encode.0.skip.weight, shape \(2, 2, 1, 1\); expected": {
            k: weights[k] for k in weights if "p.w" not in k
        },
        r"has extra.x, shape \(7,\), which the model does not have; expected": {**weights, "extra.x": torch.zeros(7)},
    }
    for text, wrong in cases.items():
        saved(path, wrong)
        with pytest.raises(ConfigError, match=f"^training.initial_weights: .*state.pt: {text}") as caught:
            begin({"model": pair[1]}, path)
        assert len(str(caught.value).splitlines()) == 1
    assert all(torch.equal(before[key], value) for key, value in pair[1].state_dict().items())


def test_what_is_not_strict_leaves_the_rest_alone_and_says_so(pair, tmp_path):
    one, other = pair
    kept = other.decode[0].skip.bias.data.fill_(3.0).clone()
    weights = {key: value for key, value in one.state_dict().items() if key != "decode.0.skip.bias"}
    path = saved(tmp_path / "state.pt", {**weights, "extra": torch.zeros(2)})
    assert begin({"model": other}, path, strict=False) == [
        f"begins with weights of {path}, without 1 of the model's and 1 of the file's"
    ]
    assert torch.equal(other.decode[0].skip.bias, kept) and torch.equal(other.centre.skip.bias, one.centre.skip.bias)
    saved(path, {"a": torch.zeros(2)})
    with pytest.raises(ConfigError, match="has a, shape"):
        begin({"model": other}, path, strict=False)
    saved(path, {"a": torch.zeros(2)}, name="adv_model")
    with pytest.raises(ConfigError, match="no weights of 'model'"):
        begin({"model": other}, path)


def test_a_discriminator_that_a_file_does_not_have_keeps_its_weights(pair, tmp_path):
    judge = models.build_discriminator("patchgan", {"width": 2}, 2, 2)
    before = judge.convs[0][0].weight.clone()
    path = saved(tmp_path / "state.pt", pair[0].state_dict())
    said = begin({"model": pair[1], "discriminator": judge}, path)
    assert same(*pair) and torch.equal(judge.convs[0][0].weight, before) and "random weights" in said[1]


def test_a_styled_state_begins_the_displacement_of_two(tmp_path):
    options = {"width": 2, "depth": 1, "blocks": 2}
    one = models.build("styled_vnet", options, 2, 2, 2, styles=2)
    both = models.build("displacement_velocity", options, 2, 4, 2, styles=2)
    begin({"model": both}, saved(tmp_path / "state.pt", one.state_dict()))
    assert same(one, both.displacement)
