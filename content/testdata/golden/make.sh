#!/usr/bin/env bash
# Makes the golden files of this folder with other people's tools: shaka-packager
# 3.4.2 (npm; its path is the first argument) and ffmpeg 5.1. The files are
# committed; this says how they came to be. The picture and the sound are ffmpeg's
# test sources.
set -euo pipefail
cd "$(dirname "$0")"
packager=${1:?path of shaka-packager}
kid=01111111111111111111111111111111
key=00112233445566778899aabbccddeeff
bitexact=(-fflags +bitexact -flags +bitexact -map_metadata -1)
ffmpeg -v error -y -f lavfi -i testsrc2=s=96x54:r=12:d=3 -f lavfi -i sine=d=3:f=440:r=16000 \
	-c:v libx264 -g 12 -bf 0 -preset veryfast -crf 40 -pix_fmt yuv420p -c:a aac -b:a 12k "${bitexact[@]}" clear.mp4
shaka() { "$packager" --quiet "$@" --enable_raw_key_encryption --keys "label=:key_id=$kid:key=$key" --segment_duration 1 --fragment_duration 1; }
for s in cenc cens cbc1 cbcs; do
	shaka "in=clear.mp4,stream=video,output=shaka-$s-video.mp4" "in=clear.mp4,stream=audio,output=shaka-$s-audio.mp4" --protection_scheme $s --clear_lead 1
done
shaka in=clear.mp4,stream=video,output=shaka-rotation.mp4 --protection_scheme cenc --clear_lead 0 --crypto_period_duration 1
for flags in empty faststart; do
	ffmpeg -v error -y -i clear.mp4 -c copy -movflags "${flags/empty/+disable_chpl}" -encryption_scheme cenc-aes-ctr -encryption_key $key -encryption_kid $kid "${bitexact[@]}" "ffmpeg-$flags.mp4"
done
mv ffmpeg-empty.mp4 ffmpeg-progressive.mp4
