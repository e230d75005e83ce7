/*
 * play: a film through a trusted module, in C99 and POSIX, without a library.
 *
 *   play --dir DEVICE/trem CONTENT TIER INIT SEGMENT... > film.mp4
 *   play --socket PATH     CONTENT TIER INIT SEGMENT... > film.mp4
 *
 * It speaks docs/spec/trem.md: BEGIN, TRACK, DECRYPT for each segment, END. TIER
 * is 0 for the best that is allowed, or 1 AUDIO, 2 SD, 3 HD, 4 UHD. Of CBOR (RFC
 * 8949) it writes the shortest heads with keys in order, as a module demands, and
 * skips what it does not know. Exit: 0 played, 1 error, 2 usage, 3 refused.
 */
#define _POSIX_C_SOURCE 200809L
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_HEADER = 4 << 20, MAX_PAYLOAD = 64 << 20 };             /* bytes */
enum { BEGIN = 13, TRACK = 14, DECRYPT = 15, END = 16 };           /* commands */
enum { UINT = 0, BYTES = 2, TEXT = 3, ARRAY = 4, MAP = 5, SIMPLE = 7, FALSE = 20, TRUE = 21 }; /* of CBOR */

static void die(int status, const char *what, const char *why)
{
	fprintf(stderr, "play: %s%s%s\n", what, *why ? ": " : "", why);
	exit(status);
}

struct bytes { /* a run that grows, or that is read from its start */
	unsigned char *p;
	size_t len, cap, at;
};

static void room(struct bytes *b, size_t len)
{
	if (len > b->cap) {
		b->cap = len * 2;
		b->p = realloc(b->p, b->cap);
		if (b->p == NULL)
			die(1, "no memory", "");
	}
	b->len = len;
}

static void put(struct bytes *b, const void *data, size_t n)
{
	size_t at = b->len;
	room(b, at + n);
	if (n > 0)
		memcpy(b->p + at, data, n);
}

/* Writing CBOR: a head, and what consists of it. */
static void head(struct bytes *b, int major, uint64_t n)
{
	unsigned char h[9];
	int size = n < 24 ? -1 : n < 0x100 ? 0 : n < 0x10000 ? 1 : n < 0x100000000 ? 2 : 3, more = size < 0 ? 0 : 1 << size;
	h[0] = (unsigned char)(major << 5 | (size < 0 ? (int)n : 24 + size));
	for (int i = 0; i < more; i++)
		h[1 + i] = (unsigned char)(n >> 8 * (more - 1 - i));
	put(b, h, (size_t)(1 + more));
}

static void pair(struct bytes *b, uint64_t key, int major, uint64_t n)
{
	head(b, UINT, key);
	head(b, major, n);
}

/* Reading CBOR: the next head; anything that is not well-formed ends the client. */
static uint64_t next(struct bytes *b, int *major)
{
	if (b->at >= b->len)
		die(1, "the module's reply is cut", "");
	int first = b->p[b->at++], more = first & 31;
	*major = first >> 5;
	if (more < 24)
		return (uint64_t)more;
	if (more > 27 || b->len - b->at < (size_t)1 << (more - 24))
		die(1, "the module's reply is malformed", "");
	uint64_t n = 0;
	for (int i = 0; i < 1 << (more - 24); i++)
		n = n << 8 | b->p[b->at++];
	if ((*major == BYTES || *major == TEXT) && n > b->len - b->at)
		die(1, "the module's reply is cut", "");
	return n;
}

static uint64_t want(struct bytes *b, int major)
{
	int got;
	uint64_t n = next(b, &got);
	if (got != major)
		die(1, "the module's reply has another shape", "");
	return n;
}

static void skip(struct bytes *b, int depth)
{
	int major;
	uint64_t n = next(b, &major);
	if (depth > 16)
		die(1, "the module's reply is too deep", "");
	if (major == BYTES || major == TEXT)
		b->at += (size_t)n;
	for (uint64_t i = 0; (major == ARRAY || major == MAP) && i < n; i++) {
		skip(b, depth + 1);
		if (major == MAP)
			skip(b, depth + 1);
	}
}

/* Finds a key of the map that begins here; b then stands at its value. */
static int find(struct bytes *b, uint64_t key)
{
	uint64_t n = want(b, MAP);
	for (uint64_t i = 0; i < n; i++) {
		if (want(b, UINT) == key)
			return 1;
		skip(b, 0);
	}
	return 0;
}

/* Prints each reason of a refusal: a decision has them at key 9. */
static void refused(struct bytes *b)
{
	uint64_t n = find(b, 9) ? want(b, ARRAY) : 0;
	for (uint64_t i = 0; i < n; i++) {
		size_t from = b->at;
		const uint64_t keys[] = {1, 3, 4, 7};
		const char *names[] = {"refused:", "have", "need", "remedy"};
		for (int k = 0; k < 4; k++) {
			b->at = from;
			if (!find(b, keys[k]))
				continue;
			int len = (int)want(b, TEXT);
			fprintf(stderr, "%s%s %.*s", k ? ", " : "", names[k], len, (const char *)b->p + b->at);
		}
		fputc('\n', stderr);
		b->at = from;
		skip(b, 0);
	}
	exit(3);
}

static int module; /* the stream */

static void transfer(int out, unsigned char *p, size_t n)
{
	while (n > 0) {
		ssize_t k = out ? write(module, p, n) : read(module, p, n);
		if (k <= 0)
			die(1, "the module is gone", "");
		p += k;
		n -= (size_t)k;
	}
}

static uint32_t be32(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Does a command. What is left in reply is its result; payload is what came. */
static void command(int cmd, const struct bytes *body, struct bytes *payload, struct bytes *reply)
{
	struct bytes h = {0};
	unsigned char lengths[8];
	head(&h, ARRAY, 3); /* [version, command, body] */
	head(&h, UINT, 1);
	head(&h, UINT, (uint64_t)cmd);
	put(&h, body->p, body->len);
	for (int i = 0; i < 4; i++) {
		lengths[i] = (unsigned char)(h.len >> 8 * (3 - i));
		lengths[4 + i] = (unsigned char)(payload->len >> 8 * (3 - i));
	}
	transfer(1, lengths, sizeof lengths);
	transfer(1, h.p, h.len);
	transfer(1, payload->p, payload->len);
	free(h.p);

	transfer(0, lengths, sizeof lengths);
	if (be32(lengths) > MAX_HEADER || be32(lengths + 4) > MAX_PAYLOAD)
		die(1, "the module's reply is too long", "");
	room(reply, be32(lengths));
	room(payload, be32(lengths + 4));
	transfer(0, reply->p, reply->len);
	transfer(0, payload->p, payload->len);
	reply->at = 0;
	if (want(reply, ARRAY) != 2)
		die(1, "the module's reply has another shape", "");
	uint64_t status = want(reply, UINT);
	if (status == 2)
		refused(reply);
	if (status == 0)
		return;
	want(reply, ARRAY); /* an error: [code, text] */
	want(reply, UINT);
	int len = (int)want(reply, TEXT);
	fprintf(stderr, "play: the module says: %.*s\n", len, (const char *)reply->p + reply->at);
	exit(1);
}

/* Starts lares-trem with a socket on its file descriptor 3, or connects to one. */
static void reach(const char *how, const char *path)
{
	if (strcmp(how, "--socket") == 0) {
		struct sockaddr_un a = {.sun_family = AF_UNIX};
		strncpy(a.sun_path, path, sizeof a.sun_path - 1);
		module = socket(AF_UNIX, SOCK_STREAM, 0);
		if (module < 0 || connect(module, (struct sockaddr *)&a, sizeof a) != 0)
			die(1, path, "nobody answers");
		return;
	}
	const char *program = getenv("LARES_TREM") ? getenv("LARES_TREM") : "lares-trem";
	int ends[2];
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0)
		die(1, "no socket", "");
	module = ends[0];
	if (fork() == 0) {
		close(ends[0]);
		if (ends[1] == 3 || dup2(ends[1], 3) == 3)
			execlp(program, program, "--dir", path, (char *)NULL);
		die(1, program, "cannot be started");
	}
	close(ends[1]);
}

static void load(const char *name, struct bytes *b)
{
	FILE *f = fopen(name, "rb");
	b->len = 0;
	if (f == NULL)
		die(1, name, "cannot be read");
	for (size_t n = 1; n > 0;) {
		size_t at = b->len;
		room(b, at + 65536);
		n = fread(b->p + at, 1, 65536, f);
		b->len = at + n;
		if (b->len > MAX_PAYLOAD)
			die(1, name, "is too long");
	}
	fclose(f);
}

/* What the module gives for a file goes to standard output. */
static void play(int cmd, const struct bytes *part, const char *name, struct bytes *segment, struct bytes *reply)
{
	load(name, segment);
	command(cmd, part, segment, reply);
	if (fwrite(segment->p, 1, segment->len, stdout) != segment->len || fflush(stdout) != 0)
		die(1, "standard output", "cannot be written");
}

int main(int argc, char **argv)
{
	if (argc < 6 || (strcmp(argv[1], "--dir") != 0 && strcmp(argv[1], "--socket") != 0))
		die(2, "usage", "play --dir DIR | --socket PATH  CONTENT TIER INIT SEGMENT...");
	reach(argv[1], argv[2]);
	struct bytes ask = {0}, part = {0}, segment = {0}, reply = {0};
	head(&ask, MAP, 8);
	pair(&ask, 1, BYTES, strlen(argv[3])); /* content ID */
	put(&ask, argv[3], strlen(argv[3]));
	pair(&ask, 2, BYTES, 16);              /* license ID: the module chooses */
	put(&ask, (const char[16]){0}, 16);
	pair(&ask, 3, UINT, 1);                /* PLAY */
	pair(&ask, 4, UINT, strtoul(argv[4], NULL, 10)); /* best tier that is wanted */
	pair(&ask, 5, TEXT, 8);                /* output */
	put(&ask, "INTERNAL", 8);
	pair(&ask, 6, SIMPLE, TRUE);           /* the user knows what it starts */
	pair(&ask, 7, UINT, 0);                /* from the beginning */
	pair(&ask, 8, SIMPLE, FALSE);          /* an open play goes on */
	command(BEGIN, &ask, &segment, &reply);
	if (!find(&reply, 1))
		die(1, "BEGIN gives no session", "");
	uint64_t session = want(&reply, UINT);

	head(&part, MAP, 2);
	pair(&part, 1, UINT, session);
	pair(&part, 2, UINT, 0);
	play(TRACK, &part, argv[5], &segment, &reply);
	uint64_t track = want(&reply, UINT);
	part.len = 0;
	head(&part, MAP, 2);
	pair(&part, 1, UINT, session);
	pair(&part, 2, UINT, track);
	for (int i = 6; i < argc; i++)
		play(DECRYPT, &part, argv[i], &segment, &reply);
	segment.len = 0;
	command(END, &part, &segment, &reply);
	close(module);
	wait(NULL); /* for the module, if it is ours */
	return 0;
}
