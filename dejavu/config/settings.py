"""The master settings: constants in groups, each with its unit and its reason.

Those in *Format* shape stored fingerprints. A digest of them is kept with every catalogue, and a catalogue made with
others is refused at start. Everything an operator changes is in config.json (`config/deployment.py`).
"""

from __future__ import annotations

import hashlib
import json

# --- Files ----------------------------------------------------------------------------------------------------------

CONFIG_FILE = "config.json"
"""Where the operator's configuration is; the environment variable TUNESCOUT_CONFIG overrides it."""

# --- Format: changing any of these makes stored catalogues unusable -------------------------------------------------

FINGERPRINT_VERSION = 2
"""Raised when the method changes in a way that the other constants do not show."""

DEFAULT_FS = 44_100
"""Hz. The rate dejavu and its descendants count in: a frame is HOP_LENGTH samples at this rate."""

ANALYSIS_FS = DEFAULT_FS // 4
"""Hz. The rate media is decoded to. The band ends at 5 kHz, so a quarter of DEFAULT_FS loses nothing and makes each
transform four times smaller."""

N_FFT = 1024
"""Samples at ANALYSIS_FS: 93 ms, 10.8 Hz a bin."""

HOP_LENGTH = 256
"""Samples at ANALYSIS_FS: 23 ms, the unit of every offset."""

BAND_FIRST_BIN = 19
"""The lowest bin looked at, 205 Hz: below it rooms boom and telephones are deaf."""

BAND_LAST_BIN = 465
"""The first bin no longer looked at, 5006 Hz: above it codecs and microphones differ."""

RANK_CELL_FRAMES = 44
"""Frames, a second. Peaks are ranked among those of their cell, so that loud passages do not take the place of quiet
ones; within it, the moments that noise will not drown may have most of them."""

LOCAL_MEAN_FRAMES = 44
LOCAL_MEAN_BINS = 32
"""A peak is compared with the mean of the second and the 32 bins (345 Hz) around it."""

SALIENCE_EXPONENT = 0.5
"""How much of the local mean a peak's power is divided by. 1 prefers what sticks out wherever it is, which noise
drowns where the music is quiet; 0 prefers the loudest, which is all in one octave. Half of each found 97 % of noisy
clips where 1 found 95 %."""

PEAK_POWER_FLOOR = 1e-6
"""Squared magnitude. A sine of -108 dB of full scale: below it is the rounding of silence."""

REFERENCE_BOX_FRAMES = 9
REFERENCE_BOX_BINS = 17
"""A stored peak is the highest of the 0.21 s and 183 Hz around it."""

REFERENCE_PEAKS_PER_CELL = 16
"""Stored peaks: 16 a second."""

REFERENCE_FAN_OUT = 2
"""Targets of a stored anchor: with 16 peaks about 30 hashes a second. More peaks with fewer targets each say more
that is independent than the other way round, for the same bytes."""

MIN_TARGET_FRAMES = 2
MAX_TARGET_FRAMES = 63
"""Frames from an anchor to its target, 0.05 to 1.46 s; six bits of a hash."""

MAX_TARGET_BINS = 63
"""Bins from an anchor up or down to its target, 678 Hz; seven bits of a hash."""

STRETCH_FRAMES = 64 * RANK_CELL_FRAMES
"""Stored peaks are kept in stretches of about a minute. A clip lies in one or two of them, and the bytes that a row of
a database takes beyond what is in it come to little."""

PEAK_BIN_STEP = 2
"""Bins that a stored peak may be in: it is told from others to 22 Hz, which takes a bit less than the bin itself and
verifies as many clips."""

FORMAT_SETTINGS = (
    "FINGERPRINT_VERSION",
    "DEFAULT_FS",
    "ANALYSIS_FS",
    "N_FFT",
    "HOP_LENGTH",
    "BAND_FIRST_BIN",
    "BAND_LAST_BIN",
    "RANK_CELL_FRAMES",
    "LOCAL_MEAN_FRAMES",
    "LOCAL_MEAN_BINS",
    "SALIENCE_EXPONENT",
    "PEAK_POWER_FLOOR",
    "REFERENCE_BOX_FRAMES",
    "REFERENCE_BOX_BINS",
    "REFERENCE_PEAKS_PER_CELL",
    "REFERENCE_FAN_OUT",
    "MIN_TARGET_FRAMES",
    "MAX_TARGET_FRAMES",
    "MAX_TARGET_BINS",
    "STRETCH_FRAMES",
    "PEAK_BIN_STEP",
)
"""The names of all settings of this group."""


def format_digest() -> str:
    """Twelve hexadecimal digits that differ where any setting of the format does; kept with every catalogue."""
    values = json.dumps([[name, globals()[name]] for name in FORMAT_SETTINGS])
    return hashlib.sha256(values.encode()).hexdigest()[:12]


# --- Queries: may change at any time, stored catalogues stay as they are --------------------------------------------

QUERY_BOX_FRAMES = 9
QUERY_BOX_BINS = 15
"""A clip's peak is the highest of the 0.21 s and 161 Hz around it; no wider than a stored one, which noise beside it
would hide."""

QUERY_PEAKS_PER_CELL = 72
"""Peaks of a clip: 72 a second, more than four times a recording's, to hold what is stored among what noise adds."""

QUERY_FAN_OUT = 8
"""Targets of a clip's anchor: of this many more peaks, the stored target is mostly one of the first 8."""

QUERY_SHIFTS = 4
"""Grids of frames that a clip is looked at on, a quarter of a frame apart."""

QUERY_DENSE_SECONDS = 30.0
"""Clips up to this long are looked at this closely; longer ones need only as many peaks as a recording has."""

QUERY_MAX_HASHES = 16384
"""Hashes of one clip to choose from at most, those of the most salient peaks: all that 6 s have."""

RANK_SCALE = 10.0
"""Ranks by which the chance that a landmark is stored falls to a third."""

LOOK_UP_COST = 50.0
"""What looking a hash up costs beside the postings it brings, in postings. In a small catalogue the most salient hashes
are asked first, in a large one those that are rare as well."""

SCALE_STEP = 0.0075
"""From one factor to the next, as a difference of logarithms, where a clip's changes of speed and pitch are looked for;
what is left of them is fitted. A step of 0.01 loses clips, one of 0.005 asks a quarter more and finds no more."""

SCALED_PEAKS_PER_CELL = 24
SCALED_FAN_OUT = 4
SCALED_PAIRS = 100
SCALED_LEAST_PAIRS = 20
SCALED_HASHES_PER_PAIR = 36
"""Landmarks of a clip that are scaled: of its 24 most salient peaks a second with 4 targets each, the 100 best pairs,
or in a large catalogue as many as bring SCALED_POSTINGS under all warps; each has so many different hashes."""

# --- Answers --------------------------------------------------------------------------------------------------------

TOPN = 3
"""Results in an answer, at most."""

LANDMARK_WEIGHT = 0.5
"""How much of the surprise in landmarks counts beside that in peaks. Music repeats itself, so that landmarks agree by
accident in heaps; where both count alike, the threshold for one false answer in a thousand finds a point less in 20,000
songs."""

CHANCE_DISPERSION = 1.6
"""What both together are divided by, for what is left of that: with ten times as many songs, the surprise that one
unknown clip in a hundred reaches grew by one and a half decades from 192 to 20,192, before being in step with a song
counted as chance."""

MATCH_SCORE = 2.0
"""What a match has to reach, in 192 songs a surprise of 6.9 and in 20,192 of 10.1. In the first three of 15,720
clips had a wrong song that reaches it, at 7.2 to 8.2: a clip in noise, one of speech and one of noise."""

FEWEST_SONGS = 100
"""A smaller catalogue is judged as if it held so many: how accidents grow was measured from there on."""

CERTAIN_SCORE = 4.5
"""Of a first step: four decades less likely than a match has to be, so that asking more would not change it."""

SETTLED_PEAK_SHARE = 0.5
"""Of the song's peaks. A clip that is surely of a song but has fewer may be noisy, or was played at another speed."""

EVEN_SCORE = 1.75
CONFIDENCE_SLOPE = 2.1
"""Confidence is logistic in the score, even at the first and this steep, fitted to answers of known outcome
(`benchmarks/calibration.py`)."""

MAX_SPEED_CHANGE_PERCENT = 12
MOST_SPEED_CHANGE_PERCENT = 25
"""How much faster, slower, higher or lower a clip may be, unless config.json says otherwise, and what it may say."""

# --- Limits ---------------------------------------------------------------------------------------------------------

TASK_TIMEOUT_SECONDS = 600.0
"""What one file may take to decode and fingerprint: a 24 h recording needs about four minutes of one core."""

QUEUE_WAIT_SECONDS = 10.0
"""How long a request waits for its turn, or for a free worker, before it is told that the service is overloaded."""

QUEUE_LIMIT = 24
"""Requests waiting for a worker at a time: songs to be added, and few clips, which wait for their turn elsewhere."""

CLIPS_WAITING_PER_WORKER = 7
"""Clips that may wait for their turn for each worker, 21 on two cores: twenty clients that ask all the time are never
refused there. In a longer queue everybody would only wait longer. As many clips as there are workers are worked on,
being decoded or searched for; with more, threads get into each other's way (six at a time answered a third fewer a
second than two), and look-ups that are late because the service is busy count against their databases."""

PICTURES_WAITING = 8
"""Pictures of answers that may wait to be drawn; one takes a quarter of a second, so the last waits two."""

OVERLOAD_RETRY_SECONDS = 4
"""After how many seconds at most a clip that was refused should come again, one at least: a full queue is through
before."""

WORKER_START_SECONDS = 60.0
"""What a worker process may take to start: a second, more on a machine that is busy with others."""

WORKER_MEMORY_BYTES = 1 << 30
"""Data a worker process may hold before its allocations fail: a 24 h recording fits, a file made to fill memory does
not."""

WORKER_RECYCLE_BYTES = 300 << 20
"""Resident memory after a task beyond which a worker is replaced by a new one: four times what an idle one has."""

SONG_NAME_MAX_CHARACTERS = 500
"""Longer than any title anybody wrote, and than the longest file name of any system; columns for names hold as many."""

TAG_MAX_CHARACTERS = 300
"""Of an artist, a title or an album; the rest is cut off."""

SEARCH_KEY_MAX_BYTES = 1000
"""Of what a song is listed and searched by. InnoDB's indexes hold 3072 bytes, and it sorts by the first 1024."""

SEARCH_MAX_WORDS = 8
"""Words that a song may be searched by."""

SONGS_PER_PAGE = 50
MOST_SONGS_PER_PAGE = 200
"""Songs in a page of the catalogue, where nothing else is asked for, and at most."""

# --- Asking databases -------------------------------------------------------------------------------------------------

FIRST_ASK_HASHES = 1000
FIRST_ASK_POSTINGS = 15_000
FIRST_ASK_LEAST_HASHES = 200
FIRST_ASK_LEAST_POSTINGS = 40_000
"""Query hashes looked up in the first step, and postings they are expected to bring from one instance; where that would
be fewer than the least hashes, so many of them with up to the last number of postings. They are the most telling ones,
and decide most clips on their own. In 10,000 songs they decide as many clips of 10 s as 20,000 postings do, and of 5 s
all but one in fifty, in a fifth less time; in 100,000 songs 40,000 make phone-like clips a third faster than 20,000.
Music is full of the notes that a clip has, so that several times as many postings come as are expected of any music."""

ASK_HASHES = 4096
ASK_POSTINGS = 800_000
"""The same for both steps; by then it is known how many times as many postings this clip brings. Twice as many hashes
find no more clips of 3 to 10 s; half as many postings lose two noisy clips in a hundred among 20,000 songs."""

SCALED_POSTINGS = 200_000
"""The same for a clip that is looked for at other speeds: of 256 such clips in 100,000 songs 105 were found, 109 with
twice as many."""

ALIGN_HITS = 1_000_000
"""Pairs of a posting and a landmark of the clip that are aligned at most, those of the rarest hashes. A clip of held
notes has ten times as many as postings; aligning them took a second."""

FIRST_CANDIDATES = 6
"""Songs that an instance looks closely at in the first step. It is to tell what is certain, and that stands out."""

CANDIDATES_PER_INSTANCE = 30
"""Songs that an instance looks closely at. Of the clips whose song is among the best hundred, all but one in a hundred
have it among these."""

LANE_THREADS = 4
"""Look-ups that one instance answers at a time, in each process; also bounds its connections. On two cores more than
clips are worked on, so that none waits here."""

LANE_WAITING = 60
"""Look-ups that may wait for one instance; more are told at once that it is not available."""

WRITE_LANE_THREADS = 2
"""Songs stored at a time on one instance, in each process. Apart from look-ups, which an upload must never delay."""

WRITE_LANE_WAITING = 16
"""Fingerprinted songs, of a few hundred kilobytes each, that may wait to be stored on one instance."""

DATABASE_CONNECT_TIMEOUT_SECONDS = 2.0
"""What connecting to a database server may take, and a sign of life on a connection that was idle. The next room
answers in 2 ms, the next continent in 0.3 s."""

LOOK_UP_TIMEOUT_SECONDS = 5.0
"""What one look-up may take, waiting included. Ten times what 50 million hashes need on a cold disk."""

INSERT_TIMEOUT_SECONDS = 120.0
"""What storing one song may take, waiting included: 24 h of sound are about three million rows."""

COUNTS_MAX_AGE_SECONDS = 10.0
"""How old the number of an instance's songs may be; chance is computed from it, and its magnitude is enough."""

HEALTH_MAX_AGE_SECONDS = 1.0
"""How old the health route's knowledge of an instance may be: load balancers ask often, and each time costs a query."""

FIRST_PROBE_PAUSE_SECONDS = 0.1
"""From an instance's failure to the first try whether it is well again."""

LONGEST_PROBE_PAUSE_SECONDS = 4.0
"""Pauses between tries double up to this, so that a database is used again within five seconds of its return."""

STEADY_SECONDS = 60.0
"""A database that fails sooner than this after its return was not well: the pauses go on growing where they had
stopped."""

# --- Redis ----------------------------------------------------------------------------------------------------------

REDIS_TIMEOUT_SECONDS = 0.1
"""What connecting to Redis and each of its answers may take; 8000 entries are read in 5 ms. Past this, Redis is left
alone until it is well, so that its going away costs a few requests this much and all others nothing."""

CACHE_TTL_SECONDS = 24 * 3600
"""How long an entry of the posting cache is kept at most: what nobody asks for makes room, also where Redis has no
limit of its own."""

CACHE_ENTRIES_AT_ONCE = 1000
"""Entries written by one command, which keeps everybody else waiting for 1 ms."""

CACHE_SETTLE_SECONDS = 2.0
"""How long an instance's songs have to stay as they are before its postings are cached. Each change makes all entries
worthless, and during a bulk upload they would be written faster than they can be read."""

# --- Looking after a catalogue ----------------------------------------------------------------------------------------

PAGE_SONGS = 1000
"""Songs read at a time where all are gone through: some hundred kilobytes."""

MOVE_BATCH_HASHES = 2_000_000
"""Fingerprints in memory at a time while songs are moved: those of 300 songs, 16 MB and several times that in
passing. A database is read once for each batch."""

SETTLE_SECONDS = 2 * LOOK_UP_TIMEOUT_SECONDS + 2.0
"""How long a moved song stays where it was as well. Who looked for it in vain where it was going to, and asks where it
comes from last of all, in the second of two steps, is to find it there."""

# --- Requests -------------------------------------------------------------------------------------------------------

FORM_FIELDS_MAX_BYTES = 256 * 1024
"""Bytes. What a form may hold beside its file, boundaries and part headers included; a field is a few bytes, a name a
few hundred."""

FORM_MAX_PARTS = 16
"""Parts of a form, the file included: more than the routes know, and still nothing to keep a server busy with."""

# --- Server ---------------------------------------------------------------------------------------------------------

SERVER_THREADS = 64
"""Requests handled at a time, beside the clips that are in hand or wait for their turn. A thread waits: for the body of
an upload, for a worker process, for a database. Few would let as many slow uploaders keep everybody out; 64 cost some
megabytes. The CPU is shared out by the process pool, not by these."""

SERVER_CONNECTIONS = 1000
"""Open connections, waiting and kept-alive ones included; more wait in the listen queue."""

SERVER_DESCRIPTORS = 8192
"""Files and connections the server may hold open: its connections and FORM_MAX_PARTS files for each thread, with
room for databases. The usual limit of 1024 would be passed by many clients at once."""

KEEP_ALIVE_SECONDS = 15
"""How long a quiet connection stays open for its client's next request. It holds a descriptor and no thread."""

CLIENT_IDLE_SECONDS = 30
"""How long a client may stay silent within a request, or not read its answer, before its thread is given to somebody
else."""

START_SECONDS = 120
"""What opening the databases and the pool may take before the server is started anew."""

GRACEFUL_STOP_SECONDS = 30
"""How long requests in flight are waited for after SIGTERM; service managers kill after 10 (Docker) to 90 (systemd) of
them."""

REJECTED_BODY_MAX_BYTES = 256 * 1024 * 1024
"""Bytes still read from a client that was refused while it was sending. Without that, the closing connection is reset
and most clients report the reset, not the answer that came before it."""

REJECTED_BODY_SECONDS = 10.0
"""The same bound in time."""

OUTAGE_RETRY_SECONDS = 5
"""What a client is told to wait while databases cannot be asked: they are probed at least this often."""
