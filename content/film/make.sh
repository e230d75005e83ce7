#!/bin/sh
# Makes the Lares demo film from nothing but ffmpeg's own generators: sd.mp4,
# hd.mp4, uhd.mp4 and poster.jpg beside this script. The film is in the public domain.
#
#   ./make.sh [FOLDER]      needs ffmpeg 5.1 with libx264, and fonts-dejavu-core
#
# The same ffmpeg and x264 on the same kind of processor give the same bytes:
# one thread, fixed seeds, no dates and no encoder names. README.md has their
# SHA-256.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=$(cd "${1:-$here}" && pwd)
fonts=/usr/share/fonts/truetype/dejavu
serif=$fonts/DejaVuSerif.ttf
sans=$fonts/DejaVuSans.ttf
mono=$fonts/DejaVuSansMono-Bold.ttf
for f in "$serif" "$sans" "$mono"; do
    [ -r "$f" ] || { echo "make.sh: $f is missing: install fonts-dejavu-core" >&2; exit 1; }
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

rate=24 # frames a second
gop=48  # a keyframe every 2 s, at the same frames in all tiers

# text START END SIZE FONT Y WORDS: centered words that fade in and out.
text() {
    printf "drawtext=fontfile=%s:fontsize=%s:fontcolor=white:shadowcolor=black@0.5:shadowx=2:shadowy=2:x=(w-text_w)/2:y=%s:text='%s':" "$4" "$3" "$5" "$6"
    printf "enable='between(t,%s,%s)':alpha='min(1,min((t-%s)/0.8,(%s-t)/0.8))'" "$1" "$2" "$1" "$2"
}
# chapter START WORDS: a caption for four seconds.
chapter() { text "$1" $(($1 + 4)) 40 "$serif" 56 "$2"; }

lights="gradients=s=1280x720:r=$rate:d=24:seed=7:n=4:speed=0.004:c0=0x0b1026:c1=0x7a2f1d:c2=0xd98324:c3=0x1d3b53"
shapes="mandelbrot=s=640x360:r=$rate:start_scale=2.2:end_scale=0.012:end_pts=480:maxiter=220:inner=black:outer=normalized_iteration_count:start_x=-0.743643887037151:start_y=-0.131825904205330"
lives="life=s=160x90:r=6:mold=24:ratio=0.12:seed=11:life_color=0xffd08a:death_color=0x50230f:mold_color=0x0b1026:stitch=1"

captions="$(text 0.2 5.6 92 "$serif" "(h-text_h)/2-50" "Lares demo film")
,$(text 1.2 5.6 30 "$sans" "(h)/2+50" "one minute, two tiers, three keys")
,$(chapter 6 "I. Light"),$(chapter 20 "II. Form"),$(chapter 40 "III. Life")
,$(text 54 59.8 56 "$serif" "(h-text_h)/2-30" "Public domain")
,$(text 54 59.8 28 "$sans" "(h)/2+40" "made by make.sh, kept by the household")"
captions=$(printf %s "$captions" | tr -d '\n')

# One picture of 1280x720, stored without loss, from which both tiers come.
ffmpeg -v error -y -filter_complex "
    $lights,trim=duration=20,format=yuv420p,setsar=1[a];
    $shapes,trim=duration=20,gblur=sigma=1.6,scale=1280x720:flags=bicubic,format=gray,format=rgb24,curves=r='0/0.04 0.35/0.42 0.6/0.85 1/1':g='0/0.06 0.35/0.16 0.6/0.52 1/0.93':b='0/0.15 0.35/0.14 0.6/0.14 1/0.75',format=yuv420p,setsar=1[b];
    $lives,trim=duration=14,fps=$rate,scale=1280x720:flags=bicubic,gblur=sigma=3,format=yuv420p,setsar=1[c];
    $lights,trim=duration=6,setpts=PTS-STARTPTS,eq=brightness=-0.12,format=yuv420p,setsar=1[d];
    [a][b][c][d]concat=n=4:v=1:a=0,fps=$rate,$captions,
    fade=t=in:d=0.8,fade=t=out:st=59:d=1,trim=end_frame=$((60 * rate))[v]" \
    -map '[v]' -c:v libx264 -preset ultrafast -qp 0 -threads 1 -f matroska "$work/master.mkv"

# Chords: A minor, F, C, G, four seconds each, softly struck.
third='if(eq(ld(0),0),1.1892,1.2599)'
root='if(eq(ld(0),0),220,if(eq(ld(0),1),174.614,if(eq(ld(0),2),130.813,195.998)))'
voice() { # DETUNE: in parts of the frequency
    printf '%s' "st(0,mod(floor(t/4),4));st(1,mod(t,4));st(2,$root*$1*2*PI*t);"
    printf '%s' "(1-exp(-9*ld(1)))*exp(-0.35*ld(1))*(1-exp(-8*(4-ld(1))))*0.16*(sin(ld(2))+0.8*sin(ld(2)*$third)+0.7*sin(ld(2)*1.4983)+0.35*sin(ld(2)*2)+0.15*sin(ld(2)*4))"
}
ffmpeg -v error -y -f lavfi -i "aevalsrc='$(voice 1)|$(voice 1.0015)':s=48000:d=60,afade=t=in:d=0.5,afade=t=out:st=58:d=2" \
    -c:a pcm_s16le -f wav "$work/master.wav"

# tier NAME WIDTHxHEIGHT CRF MAXRATE [audio]: the time code and the tier's name go in last.
tier() {
    name=$1 size=$2 crf=$3 max=$4
    shift 4
    h=${size#*x}
    clock="drawtext=fontfile=$mono:fontsize=$((h / 22)):fontcolor=white:box=1:boxcolor=black@0.55:boxborderw=$((h / 72)):x=w*0.04:y=h*0.92-text_h:timecode='00\:00\:00\:00':r=$rate"
    label="drawtext=fontfile=$mono:fontsize=$((h / 22)):fontcolor=white:box=1:boxcolor=black@0.55:boxborderw=$((h / 72)):x=w*0.96-text_w:y=h*0.92-text_h:text='$(printf %s "$name" | tr a-z A-Z) $size'"
    if [ "${1:-}" = audio ]; then set -- -i "$work/master.wav" -c:a aac -b:a 48k; else set -- -an; fi
    ffmpeg -v error -y -i "$work/master.mkv" "$@" -vf "scale=$size:flags=bicubic,$clock,$label" \
        -c:v libx264 -preset slow -profile:v high -pix_fmt yuv420p -crf "$crf" -maxrate "$max" -bufsize "$max" \
        -g $gop -keyint_min $gop -sc_threshold 0 -threads 1 -bsf:v filter_units=remove_types=6 \
        -fflags +bitexact -flags:v +bitexact -flags:a +bitexact -map_metadata -1 -movflags +faststart "$out/$name.mp4"
}
tier sd 640x360 29 115k
tier hd 1280x720 30 300k audio

ffmpeg -v error -y -ss 3.5 -i "$out/hd.mp4" -frames:v 1 -vf scale=640:360 -q:v 4 -fflags +bitexact -flags:v +bitexact -map_metadata -1 "$out/poster.jpg"

# The UHD tier is the title card, one picture a second: it is there to be refused on
# screens that do not protect it, and to be small.
ffmpeg -v error -y -loop 1 -framerate 1 -i "$out/poster.jpg" -t 60 \
    -vf "gblur=sigma=2,scale=3840x2160:flags=bicubic,gblur=sigma=6,format=yuv420p,drawtext=fontfile=$mono:fontsize=98:fontcolor=white:box=1:boxcolor=black@0.55:boxborderw=30:x=w*0.96-text_w:y=h*0.92-text_h:text='UHD 3840x2160'" \
    -c:v libx264 -preset veryfast -profile:v high -pix_fmt yuv420p -crf 51 -g 4 -keyint_min 4 -sc_threshold 0 -threads 1 -bsf:v filter_units=remove_types=6 -an \
    -fflags +bitexact -flags:v +bitexact -map_metadata -1 -movflags +faststart "$out/uhd.mp4"
(cd "$out" && ls -l sd.mp4 hd.mp4 uhd.mp4 poster.jpg && sha256sum sd.mp4 hd.mp4 uhd.mp4 poster.jpg)
