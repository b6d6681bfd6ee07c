from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ca.ct.merkle import (
    EMPTY_ROOT,
    Edge,
    FullTile,
    ProofInvalid,
    Prover,
    consistency_proof,
    edge_at,
    inclusion_proof,
    leaf_hash,
    node_hash,
    root_at,
    verify_consistency,
    verify_inclusion,
)
from tests.ct.oracle import VECTORS, unhex
from tests.ct.trees import Tiles, leaves, mth, path, subproof

AROUND_TILES = [254, 255, 256, 257, 258]
AROUND_TILES_OF_TILES = [65_535, 65_536, 65_537]


@pytest.fixture(scope="module")
def tiles() -> Tiles:
    return Tiles(leaves(70_000))


# ---- Published trees ----

# The leaves and roots that Certificate Transparency's implementations have tested with from the beginning.
PUBLISHED_LEAVES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
PUBLISHED_ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


@pytest.mark.parametrize("size", range(9))
def test_root_of_the_published_leaves_is_the_published_one(size):
    hashes = [leaf_hash(leaf) for leaf in unhex(PUBLISHED_LEAVES[:size])]
    assert Edge.EMPTY.append(hashes)[0].root().hex() == PUBLISHED_ROOTS[size]


def test_proofs_of_the_example_of_rfc_6962_section_2_1_3_are_those_that_it_names():
    a, b, c, d, e, f, j = leaves(7)
    g, h, i = node_hash(a, b), node_hash(c, d), node_hash(e, f)
    k, l = node_hash(g, h), node_hash(i, j)  # noqa: E741 - the RFC's letters
    tree = Tiles([a, b, c, d, e, f, j])
    assert tree.edge.root() == node_hash(k, l)
    read = tree.reader(7)
    assert inclusion_proof(0, 7, read) == [b, h, l]
    assert inclusion_proof(3, 7, read) == [c, g, l]
    assert inclusion_proof(4, 7, read) == [f, j, k]
    assert inclusion_proof(6, 7, read) == [i, k]
    assert consistency_proof(3, 7, read) == [c, d, g, l]
    assert consistency_proof(4, 7, read) == [l]
    assert consistency_proof(6, 7, read) == [i, j, k]


def test_roots_are_those_of_go(tiles):
    for size, root in VECTORS["tree"]["roots"].items():
        assert root_at(int(size), tiles.reader(int(size))).hex() == root


def test_inclusion_proofs_are_those_of_go(tiles):
    for vector in VECTORS["tree"]["inclusion"]:
        proof = inclusion_proof(vector["start"], vector["size"], tiles.reader(vector["size"]))
        assert proof == unhex(vector["proof"])


def test_consistency_proofs_are_those_of_go(tiles):
    for vector in VECTORS["tree"]["consistency"]:
        proof = consistency_proof(vector["start"], vector["size"], tiles.reader(vector["size"]))
        assert proof == unhex(vector["proof"])


# ---- All trees up to 300 ----


def test_every_proof_of_small_trees_follows_the_definition_and_verifies(tiles):
    hashes = leaves(300)
    for size in range(301):
        root, prover = mth(0, size), Prover(size, tiles.reader(size))
        assert root_at(size, tiles.reader(size)) == root
        for start in range(size):
            proof = prover.inclusion(start)
            assert proof == path(start, 0, size)
            verify_inclusion(hashes[start], start, size, proof, root)
        for old in range(1, size + 1):
            proof = prover.consistency(old)
            assert proof == subproof(old, 0, size)
            verify_consistency(old, mth(0, old), size, root, proof)


def _places(size: int) -> list[int]:
    """Neighbours of every power of two up to `size`, and the ends."""
    near = {(1 << height) + step for height in range(17) for step in (-1, 0, 1)}
    return sorted(place for place in near | {size - 2, size - 1, size} if 0 <= place <= size)


@pytest.mark.parametrize("size", AROUND_TILES_OF_TILES)
def test_proofs_of_trees_around_a_tile_of_tiles_verify(tiles, size):
    hashes = leaves(size)
    read = tiles.reader(size)
    root = root_at(size, read)
    assert root == mth(0, size)
    for place in _places(size):
        if place < size:
            verify_inclusion(hashes[place], place, size, inclusion_proof(place, size, read), root)
        verify_consistency(place, mth(0, place), size, root, consistency_proof(place, size, read))


@pytest.mark.parametrize("size", AROUND_TILES_OF_TILES)
@given(data=st.data())
def test_any_two_sizes_and_any_leaf_of_a_large_tree_are_proved(tiles, size, data):
    read, root = tiles.reader(size), mth(0, size)
    index = data.draw(st.integers(0, size - 1))
    verify_inclusion(leaf_hash(b"%d" % index), index, size, inclusion_proof(index, size, read), root)
    old = data.draw(st.integers(0, size))
    verify_consistency(old, root_at(old, tiles.reader(old)), size, root, consistency_proof(old, size, read))


# ---- Appending ----


def test_empty_edge_has_the_empty_root():
    assert Edge.EMPTY.root() == EMPTY_ROOT
    assert Edge.EMPTY.append([]) == (Edge.EMPTY, [])


@given(batches=st.lists(st.integers(0, 300), max_size=12))
def test_batches_make_the_tree_that_single_leaves_make(tiles, batches):
    hashes = leaves(sum(batches))
    edge, filled = Edge.EMPTY, []
    for size in batches:
        edge, full = edge.append(hashes[edge.size : edge.size + size])
        filled += full
    assert edge == edge_at(sum(batches), tiles.reader(sum(batches)))
    assert filled == [FullTile(tile.level, tile.index, tiles.full[tile.level, tile.index]) for tile in filled]
    assert len(filled) == sum(batches) // 256


@pytest.mark.parametrize("size", [*AROUND_TILES, *AROUND_TILES_OF_TILES])
def test_a_tile_is_given_out_when_its_last_leaf_comes(tiles, size):
    before = edge_at(size - 1, tiles.reader(size - 1))
    edge, filled = before.append(leaves(size)[-1:])
    assert edge == edge_at(size, tiles.reader(size))
    assert [(tile.level, tile.index) for tile in filled] == {
        256: [(0, 0)],
        65_536: [(0, 255), (1, 0)],
    }.get(size, [])
    assert all(len(tile.hashes) == 8192 for tile in filled)


def test_tiles_hold_the_hashes_that_their_definition_says(tiles):
    assert len(tiles.full) == 273 + 1
    assert tiles.full[0, 272] == b"".join(mth(i, i + 1) for i in range(272 * 256, 273 * 256))
    assert tiles.full[1, 0] == b"".join(mth(i * 256, (i + 1) * 256) for i in range(256))
    assert [len(level) // 32 for level in tiles.edge.levels] == [112, 17, 1]  # static-ct-api's example
    assert tiles.edge.levels[2] == mth(0, 65_536)


@pytest.mark.parametrize("size", [0, 1, *AROUND_TILES, 511, 512, *AROUND_TILES_OF_TILES, 70_000])
def test_edge_reads_back(tiles, size):
    edge = edge_at(size, tiles.reader(size))
    assert Edge.decode(size, edge.encode()) == edge
    assert edge.root() == mth(0, size)


@pytest.mark.parametrize("size", [0, 1, *AROUND_TILES, 65_536])
@pytest.mark.parametrize("change", [lambda data: data + bytes(32), lambda data: data + b"x", lambda data: data[:-1]])
def test_edge_of_another_length_is_refused(tiles, size, change):
    data = edge_at(size, tiles.reader(size)).encode()
    if change(data) == data:
        return
    with pytest.raises(ValueError, match="expected"):
        Edge.decode(size, change(data))


@pytest.mark.parametrize("at", [0, 31, 32, -1])
def test_edge_with_a_flipped_bit_has_another_root(tiles, at):
    data = bytearray(edge_at(70_000, tiles.reader(70_000)).encode())
    data[at] ^= 1
    assert Edge.decode(70_000, bytes(data)).root() != mth(0, 70_000)


def test_a_tile_of_another_length_than_asked_for_is_refused(tiles):
    read = tiles.reader(257)

    def short(level: int, index: int, width: int) -> bytes:
        return read(level, index, width)[:-32]

    for ask in (lambda: root_at(257, short), lambda: inclusion_proof(0, 257, short)):
        with pytest.raises(ValueError, match="expected"):
            ask()


@pytest.mark.parametrize(("index", "size"), [(0, 0), (7, 7), (8, 7), (-1, 7)])
def test_no_inclusion_proof_of_a_leaf_that_is_not_there(tiles, index, size):
    with pytest.raises(ValueError, match="no leaf"):
        inclusion_proof(index, size, tiles.reader(size))


@pytest.mark.parametrize(("old", "new"), [(8, 7), (-1, 7), (1, 0)])
def test_no_consistency_proof_backwards(tiles, old, new):
    with pytest.raises(ValueError, match="not the beginning"):
        consistency_proof(old, new, tiles.reader(new))


@pytest.mark.parametrize(("old", "new"), [(0, 0), (0, 7), (7, 7)])
def test_consistency_proof_of_nothing_is_empty(tiles, old, new):
    assert consistency_proof(old, new, tiles.reader(new)) == []
    verify_consistency(old, mth(0, old), new, mth(0, new), [])


# ---- Proofs that prove something else ----

SIZES = [2, 3, 5, 7, 8, 9, 100, 255, 256, 257]


def _mutations(proof: list[bytes]) -> list[list[bytes]]:
    """Every proof that differs in one place: a bit, a hash less, one more, two exchanged, a length."""
    mutations = [[*proof, bytes(32)], [bytes(32), *proof]]
    for at, hash_ in enumerate(proof):
        before, after = proof[:at], proof[at + 1 :]
        flipped = bytes([hash_[0] ^ 0x80]) + hash_[1:]
        mutations += [
            [*before, flipped, *after],
            [*before, *after],
            [*before, hash_, hash_, *after],
            [*before, hash_[:-1], *after],
            [*before, hash_ + b"\x00", *after],
            [*before, b"", *after],
        ]
    mutations += [[*proof[:at], second, first, *proof[at + 2 :]] for at, (first, second) in enumerate(pairwise(proof))]
    return mutations


@pytest.mark.parametrize("size", SIZES)
def test_inclusion_proof_changed_anywhere_is_refused(size):
    root = mth(0, size)
    for index in sorted({0, 1, size // 2, size - 2, size - 1}):
        leaf = mth(index, index + 1)
        proof = path(index, 0, size)
        verify_inclusion(leaf, index, size, proof, root)
        for changed in _mutations(proof):
            with pytest.raises(ProofInvalid):
                verify_inclusion(leaf, index, size, changed, root)
        for other in {*range(-2, size + 3)} - {index}:
            with pytest.raises(ProofInvalid):
                verify_inclusion(leaf, other, size, proof, root)


@pytest.mark.parametrize("size", SIZES)
def test_consistency_proof_changed_anywhere_is_refused(size):
    root = mth(0, size)
    for old in sorted({1, size // 2, size - 1}):
        proof = subproof(old, 0, size)
        verify_consistency(old, mth(0, old), size, root, proof)
        for changed in _mutations(proof):
            with pytest.raises(ProofInvalid):
                verify_consistency(old, mth(0, old), size, root, changed)


@pytest.mark.parametrize(
    ("leaf", "index", "size", "root"),
    [
        (mth(1, 2), 0, 7, mth(0, 7)),
        (mth(0, 1), 0, 7, mth(0, 6)),
        (mth(0, 1), 0, 7, EMPTY_ROOT),
        (mth(0, 1), 0, 9, mth(0, 7)),
        (mth(0, 1), 0, 4, mth(0, 7)),
        (mth(0, 1), 0, 1, mth(0, 7)),
        (mth(0, 1), 0, 0, mth(0, 7)),
        (mth(0, 1), 0, -1, mth(0, 7)),
        (mth(0, 1)[:31], 0, 7, mth(0, 7)),
        (mth(0, 1), 0, 7, mth(0, 7)[:31]),
        (b"", 0, 7, mth(0, 7)),
    ],
)
def test_inclusion_of_another_leaf_or_in_another_tree_is_refused(leaf, index, size, root):
    with pytest.raises(ProofInvalid):
        verify_inclusion(leaf, index, size, path(0, 0, 7), root)


def test_a_node_does_not_pass_for_a_leaf():
    # Its two children as one leaf's data: without the prefixes of §2.1 both would hash alike.
    assert leaf_hash(mth(0, 1) + mth(1, 2)) != node_hash(mth(0, 1), mth(1, 2))


@pytest.mark.parametrize(
    ("old", "old_root", "new", "new_root", "proof"),
    [
        (3, mth(0, 3), 7, mth(0, 7), []),
        (4, mth(0, 4), 7, mth(0, 7), []),
        (3, mth(0, 7), 7, mth(0, 3), subproof(3, 0, 7)),
        (3, mth(0, 4), 7, mth(0, 7), subproof(3, 0, 7)),
        (3, mth(0, 3), 7, mth(0, 6), subproof(3, 0, 7)),
        (4, mth(0, 4), 7, mth(0, 7), subproof(3, 0, 7)),
        (3, mth(0, 3), 7, mth(0, 7), subproof(3, 0, 8)),
        (3, mth(0, 3), 2, mth(0, 2), []),
        (7, mth(0, 7), 3, mth(0, 3), subproof(3, 0, 7)),
        (-1, mth(0, 3), 7, mth(0, 7), subproof(3, 0, 7)),
        (7, mth(0, 7), 7, mth(0, 6), []),  # a split view
        (7, mth(0, 7), 7, mth(0, 7), [mth(0, 1)]),
        (0, mth(0, 1), 7, mth(0, 7), []),
        (0, EMPTY_ROOT, 7, mth(0, 7), [mth(0, 7)]),
        (0, EMPTY_ROOT, 0, mth(0, 7), []),
        (3, mth(0, 3)[:31], 7, mth(0, 7), subproof(3, 0, 7)),
        (3, mth(0, 3), 7, mth(0, 7) + b"\x00", subproof(3, 0, 7)),
    ],
)
def test_consistency_of_trees_that_are_not_is_refused(old, old_root, new, new_root, proof):
    with pytest.raises(ProofInvalid):
        verify_consistency(old, old_root, new, new_root, proof)


# ---- Proofs that hash to the right roots, in trees of another shape ----

A, B, C, D = leaves(4)


def test_inclusion_proof_longer_than_its_tree_is_high_is_refused():
    with pytest.raises(ProofInvalid, match="too long"):
        verify_inclusion(A, 0, 1, [B], node_hash(B, A))


def test_inclusion_proof_shorter_than_its_tree_is_high_is_refused():
    with pytest.raises(ProofInvalid, match="too short"):
        verify_inclusion(A, 0, 3, [B], node_hash(A, B))


def test_consistency_proof_longer_than_its_tree_is_high_is_refused():
    old_root = node_hash(B, node_hash(A, C))
    new_root = node_hash(B, node_hash(A, node_hash(C, D)))
    verify_consistency(3, node_hash(A, C), 4, node_hash(A, node_hash(C, D)), [C, D, A])
    with pytest.raises(ProofInvalid, match="too long"):
        verify_consistency(3, old_root, 4, new_root, [C, D, A, B])


def test_consistency_proof_shorter_than_its_tree_is_high_is_refused():
    with pytest.raises(ProofInvalid, match="too short"):
        verify_consistency(3, C, 4, C, [C])


def test_hashes_whose_boundary_has_moved_are_refused():
    verify_inclusion(A, 0, 2, [B], node_hash(A, B))
    with pytest.raises(ProofInvalid, match="32 bytes"):
        verify_inclusion(A[:31], 0, 2, [A[31:] + B], node_hash(A, B))
    verify_consistency(1, A, 2, node_hash(A, B), [B])
    with pytest.raises(ProofInvalid, match="32 bytes"):
        verify_consistency(1, A[:31], 2, node_hash(A, B), [A[31:] + B])
