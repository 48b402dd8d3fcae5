"""Synthetic tracks sent to ClickHouse by the hundred are the songs that the driver would have stored one by one."""

from __future__ import annotations

import pytest
import signals
from clickhouse import ClickHouseServer
from driver_data import assert_same_peaks, stored_peaks

from benchmarks.bulk_fill import fill_clickhouse
from benchmarks.filling import fill, name_of, sha1_of
from benchmarks.surrogates import make_source, make_track
from dejavu.config import settings
from dejavu.fingerprint.peaks import find_peaks
from dejavu.fingerprint.spectrogram import power_spectrogram
from dejavu.store.clickhouse import ClickHouseDriver

pytestmark = pytest.mark.server


def test_tracks_stored_in_bulk_are_whole_songs_and_none_is_stored_twice(
    clickhouse: ClickHouseServer, clickhouse_database: str
) -> None:
    power = power_spectrogram(signals.song(45.0, 1))
    peaks = find_peaks(power, settings.REFERENCE_BOX_FRAMES, settings.REFERENCE_BOX_BINS)
    source = make_source({"song 1": peaks.best(2 * settings.REFERENCE_PEAKS_PER_CELL)})
    database = clickhouse.database(clickhouse_database)
    driver = ClickHouseDriver(database)
    driver.setup()
    try:
        assert fill(driver, source, 1, [0, 1]) == 2
        assert fill_clickhouse(driver, database, source, 1, range(5)) == 3
        assert fill_clickhouse(driver, database, source, 1, range(5)) == 0
        songs = {song.name: song for song in driver.list_songs(-1, 100)}
        assert sorted(songs) == [name_of(1, number) for number in range(5)]
        stored = driver.fingerprints([song.song_id for song in songs.values()])
        for number in range(5):
            song, track = songs[name_of(1, number)], make_track(source, 1, number)
            assert (song.sha1, song.total_hashes) == (sha1_of(source, 1, number), len(track))
            assert stored[song.song_id].hashes.tolist() == track.hashes.tolist()
            assert stored[song.song_id].offsets.tolist() == track.offsets.tolist()
            assert_same_peaks(stored[song.song_id].peaks, stored_peaks(track.peaks))
        assert driver.sweep() == 0
    finally:
        driver.close()
