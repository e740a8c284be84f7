"""Examples that lie side by side are a batch without a copy, others are copied; no two batches share memory."""

import pickle

import numpy as np

from m2m_core.tasks.room import Room


def filled(room, *values, part="input", shape=(2, 3)):
    places = [room.place(part, shape) for _ in values]
    for place, value in zip(places, values, strict=True):
        place[...] = value
    return places


def test_a_batch_is_where_its_examples_are():
    room = Room(3)
    first = filled(room, 1, 2, 3)
    batch = room.joined(first)
    assert batch.shape == (3, 2, 3) and batch[:, 0, 0].tolist() == [1, 2, 3] and np.shares_memory(batch, first[1])
    short = room.joined(filled(room, 4, 5))
    assert short[:, 1, 2].tolist() == [4, 5] and not np.shares_memory(short, batch)
    assert batch[:, 0, 0].tolist() == [1, 2, 3]


def test_more_or_other_examples_than_there_is_room_for_are_copied():
    room = Room(2)
    five = filled(room, 1, 2, 3, 4, 5)
    assert room.joined(five)[:, 0, 0].tolist() == [1, 2, 3, 4, 5]
    one, two = filled(room, 1, 2)
    assert room.joined([two, one])[:, 0, 0].tolist() == [2, 1]
    turned = [one.T.copy(), two.T.copy()]
    assert room.joined(turned).shape == (2, 3, 2)
    alone = room.joined([np.full(4, 7.0)])
    assert alone.tolist() == [[7.0] * 4]
    of_part = one[:1], two[:1]
    assert room.joined(of_part)[:, 0, 0].tolist() == [1, 2]


def test_parts_have_memory_of_their_own():
    room = Room(2)
    coarse, fine = filled(room, 1, 2), filled(room, 3, 4, part="target", shape=(4, 6))
    assert room.joined(coarse).max() == 2 and room.joined(fine).min() == 3
    assert filled(room, 5, shape=(4, 4))[0].shape == (4, 4)


def test_memory_stays_with_its_process():
    room = Room(2)
    filled(room, 1)
    assert pickle.loads(pickle.dumps(room)).open == {}
