import hashlib

import pytest

from canemo.files import hash_values, replacing, sha256_file, write_atomically


def test_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = write_atomically(tmp_path / "a.txt", "old")

    def fail():
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_suffix_is_kept_and_folders_are_made(tmp_path):
    with replacing(tmp_path / "new" / "table.csv") as temporary:
        assert temporary.suffix == ".csv"
        temporary.write_text("x")
    assert (tmp_path / "new" / "table.csv").read_text() == "x"


def test_text_is_written_as_utf8(tmp_path):
    assert write_atomically(tmp_path / "a", "Ö").read_bytes() == "Ö".encode()


def test_hash_of_a_file(tmp_path):
    path = write_atomically(tmp_path / "a", b"dog")
    assert sha256_file(path) == hashlib.sha256(b"dog").hexdigest()


def test_address_depends_on_values_not_on_their_order():
    assert hash_values(a=1, b=[2]) == hash_values(b=[2], a=1)
    assert hash_values(a=1) != hash_values(a=2)
