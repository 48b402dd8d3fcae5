"""Which containers and codecs are opened: the sound that people have, and nothing that refers to other files.

libav would also open playlists, streaming manifests, session descriptions, image sequences and subtitles, and run
several hundred decoders of rare games and devices on whatever an upload contains. These lists, in libav's own names and
notation, keep all of that shut. No video codec is among them: pictures are skipped unread, which also makes a phone's
video faster to open.
"""

from __future__ import annotations

CONTAINERS = (
    "aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,dsf,dts,dtshd,eac3,flac,flv,iff,loas,matroska,mlp,mov,mp3,mpc,mpc8,"
    "mpeg,mpegts,mxf,nut,ogg,oma,qcp,rm,shn,sox,tak,truehd,tta,voc,w64,wav,wtv,wv,xwma"
)
"""Demuxers, separated by commas."""

CODECS = (
    "mp1,mp1float,mp2,mp2float,mp3,mp3float,mp3adufloat,mp3on4float,aac,aac_fixed,aac_latm,"
    "opus,libopus,vorbis,libvorbis,speex,libspeex,wmav1,wmav2,wmapro,wmavoice,wmalossless,"
    "flac,alac,als,ape,wavpack,tta,tak,shorten,mlp,truehd,ac3,ac3_fixed,eac3,dca,mpc7,mpc8,"
    "amrnb,amrwb,libopencore_amrnb,libopencore_amrwb,gsm,gsm_ms,qcelp,evrc,ilbc,g722,"
    "cook,ra_144,ra_288,sipr,atrac1,atrac3,atrac3al,atrac3p,atrac3pal,qdm2,qdmc,nellymoser,"
    "dsd_lsbf,dsd_msbf,dsd_lsbf_planar,dsd_msbf_planar,"
    "adpcm_ms,adpcm_ima_wav,adpcm_ima_qt,adpcm_swf,adpcm_yamaha,adpcm_g722,adpcm_g726,"
    "pcm_u8,pcm_s8,pcm_s16le,pcm_s16be,pcm_s24le,pcm_s24be,pcm_s32le,pcm_s32be,pcm_f32le,pcm_f32be,pcm_f64le,pcm_f64be,"
    "pcm_alaw,pcm_mulaw,pcm_bluray,pcm_dvd,pcm_s16le_planar,pcm_s16be_planar"
)
"""Decoders, all of them for sound, separated by commas."""

OPTIONS = {
    # Whatever is nested (segments, keys, references) would be opened by a protocol, and a file object needs none.
    "protocol_whitelist": "pipe",
    "format_whitelist": CONTAINERS,
    "codec_whitelist": CODECS,
    # Nobody asks for a video's frame rate, and finding it out reads seconds of it.
    "fpsprobesize": "0",
}
"""What libav is told when it opens a file."""
