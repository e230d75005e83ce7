/* batch.pml - the vault's log of batches, some anchored and some only synced, against a register, and use that is charged
 * ahead (docs/spec/vault.md sections 3 to 5; nv.pml has anchored records only).
 *
 * A node is a batch that was ever written, with the log before it; par is the batch that it follows. At a boot the owner
 * presents any log that was ever on disk, or one that is cut in its last batch, or (always possible again) the newest one.
 * A commit is: write, sync, anchor if the batch is anchored, let the effect out; a crash between any two.
 *
 *   PREPARE  anchored, two records: the right is debited, the escrow is credited   LOW    unanchored, effect without worth
 *   BEGIN    anchored: charges up to UNIT slices of use ahead                      SLICE  unanchored: one slice of what was charged
 *   END      unanchored: gives back what was charged and not used
 *
 * CHAIN    the register names the last anchored batch (NV extend). Boot accepts a log whose last anchored batch it names, or
 *          one with one anchored batch more, the log's last, and then finishes it. ANYWHERE: that batch may have unanchored ones
 *          behind it (what transfer.md says, and the vault does).
 * COUNTER  the register counts anchored batches; boot accepts its count, or one anchored batch more, and commits a boot record.
 * TWO      two anchored batches may be on disk before the register follows, and boot accepts two more: CHAIN holds (what it
 *          names is a history), COUNTER forks (one boot record makes up for one batch only).
 *
 *   spin -a -DCHAIN batch.pml; gcc -O2 -DSAFETY -DCOLLAPSE -o pan pan.c; ./pan -E -m1000000
 *
 * Asserted: an accepted log has every anchored batch whose effect is out, so that what a set-back loses is unanchored and later
 * than the last of these; a batch counts whole or not at all; use never exceeds what was sold; the newest log is accepted.
 * Mutants, each MUST fail: M_NVFIRST M_EXTFIRST M_TORN M_NOPRE M_REFUND M_LOWMOVE M_BEHIND M_RESUME; COUNTER with TWO or
 * M_NOBOOTREC. */
#ifndef NS
#define NS 6                    /* batches, with the first */
#endif
#ifndef SOLD
#define SOLD 2                  /* slices */
#endif
#define UNIT 2                  /* slices between two anchors (10 min), and charged ahead */

byte par[NS]; bit anc[NS]; byte ctr[NS]; bit out[NS];        /* out: effect is out */
byte acc[NS]; byte rest[NS];                                /* charged; of it not used yet */
bit right[NS]; bit esc[NS];
byte n = 1; byte nv; byte cur; byte newest; bit torn;       /* torn: the newest may be cut */
byte r_acc; byte r_rest; bit r_right; bit r_esc;             /* memory */
byte used;                                                  /* slices, in the world */
byte x; byte k; byte j; byte op; bit cut; bit ok; bit honest;
#ifdef TWO
byte lag;                       /* anchored batches that the register lacks */
#define MORE 2
#else
#define MORE 1
#endif

#define PRE 0
#define BEGIN 1
#define SLICE 2
#define END 3
#define LOW 4
#define BOOT 5
#ifdef M_LOWMOVE                /* a record that moves a right is only synced */
#define ANCHORED(o) (o == BEGIN || o == BOOT)
#else
#define ANCHORED(o) (o == PRE || o == BEGIN || o == BOOT)
#endif
#define MOVES(o) (o == PRE || o == BEGIN)

/* j := the last anchored batch of the log that ends with a */
inline lastanchored(a) { j = a; do :: !anc[j] && j != 0 -> j = par[j] :: else -> break od }

/* may the log that ends with x be used? the register follows it if so */
inline accept() {
  ok = 0; k = 0; lastanchored(x);
#ifdef CHAIN
  do
  :: j == nv -> ok = 1; break
  :: j != nv && j != 0 && k < MORE ->
       k++;
       j = par[j]; lastanchored(j)
  :: else -> break
  od;
#ifndef ANYWHERE
  if :: k > 0 && !anc[x] -> ok = 0 :: else -> skip fi;
#endif
  lastanchored(x);
  if :: ok -> nv = j :: else -> skip fi;
#ifdef M_BEHIND                 /* the register may be one batch ahead of the log */
  k = j; j = par[nv]; lastanchored(j);
  if :: j == k -> ok = 1 :: else -> skip fi;
#endif
#else
  if
  :: ctr[x] == nv -> ok = 1
#ifdef ANYWHERE
  :: ctr[x] > nv && ctr[x] <= nv + MORE -> ok = 1; nv = ctr[x]
#else
  :: ctr[x] > nv && ctr[x] <= nv + MORE && anc[x] -> ok = 1; nv = ctr[x]
#endif
  :: else -> skip
  fi;
#endif
  k = 0; j = 0
}

/* the accepted log has every anchored batch whose effect is out */
inline whole() {
  j = 1;
  do
  :: j < n ->
       if
       :: out[j] -> k = cur; do :: k != j && k != 0 -> k = par[k] :: else -> break od; assert(k == j)
       :: else -> skip
       fi; j++
  :: else -> break
  od; j = 0; k = 0
}

inline append(o) {              /* the batch that op o writes, from memory */
  par[n] = cur; anc[n] = ANCHORED(o); ctr[n] = ctr[cur] + ANCHORED(o);
  if
  :: o == PRE -> r_right = 0; r_esc = 1
#ifdef M_NOPRE                  /* nothing charged ahead: slices charge as they come */
  :: o == BEGIN -> r_rest = (SOLD - r_acc < UNIT -> SOLD - r_acc : UNIT)
  :: o == SLICE -> r_rest--; r_acc++
  :: o == END -> r_rest = 0
#else
  :: o == BEGIN -> j = (SOLD - r_acc < UNIT -> SOLD - r_acc : UNIT); r_acc = r_acc + j; r_rest = r_rest + j; j = 0
  :: o == SLICE -> r_rest--
  :: o == END -> r_acc = r_acc - r_rest; r_rest = 0
#endif
  :: else -> skip
  fi;
  acc[n] = r_acc; rest[n] = r_rest; right[n] = r_right; esc[n] = r_esc;
  cur = n; newest = n; n++
}
#ifdef CHAIN
#define ANCHOR nv = cur
#else
#define ANCHOR nv = ctr[cur]
#endif
inline effect(o) { if :: MOVES(o) -> out[cur] = 1 :: o == SLICE -> used++; assert(used <= SOLD) :: else -> skip fi }

init {
  right[0] = 1; r_right = 1; anc[0] = 1;
boot:
  atomic {
#ifdef TWO
    lag = 0;
#endif
    if :: honest = 1; x = newest :: honest = 0; select(x : 0 .. n-1) fi;
    cut = 0;
    if :: x != 0 && (!honest || torn) -> cut = 1 :: skip fi;
    op = x;
    if :: cut -> x = par[x] :: else -> skip fi;
    d_step { accept() };
    assert(ok || !honest);      /* no brick */
    if :: !ok -> x = 0; cut = 0; op = 0; honest = 0; goto boot :: else -> skip fi;
    cur = x; newest = x; torn = 0;
    r_right = right[cur]; r_esc = esc[cur]; r_acc = acc[cur];
    r_rest = 0;                 /* a play ends with the process; what it was charged stays charged */
#ifdef M_REFUND
    r_acc = acc[cur] - rest[cur];
#endif
#ifdef M_RESUME
    r_rest = rest[cur];
#endif
#ifdef M_TORN                   /* the first record of a cut batch counts */
    if :: cut -> r_right = right[op] :: else -> skip fi;
#endif
    cut = 0; op = 0; x = 0; honest = 0;
    assert(r_right + r_esc == 1);
    d_step { whole() }
  }
#if !defined(CHAIN) && !defined(M_NOBOOTREC)
  if :: n < NS -> op = BOOT; goto commit :: else -> goto fin fi;
#endif
work:
  atomic {
    if
    :: n >= NS -> goto fin
    :: n < NS && r_right -> op = PRE
    :: n < NS && r_rest == 0 && r_acc < SOLD -> op = BEGIN
    :: n < NS && r_rest > 0 -> op = SLICE
    :: n < NS && r_rest > 0 -> op = END
    :: n < NS -> op = LOW
    :: goto boot
    fi
  }
commit:
#ifdef M_NVFIRST
  if :: ANCHORED(op) -> atomic { nv = n }; if :: goto boot :: skip fi :: else -> skip fi;
#endif
  atomic { append(op); torn = 1 }
  if :: goto boot :: skip fi;   /* killed while it writes: the newest is there whole, or cut */
  torn = 0;
  if :: goto boot :: skip fi;
#ifdef M_EXTFIRST
  atomic { effect(op) }
  if :: goto boot :: skip fi;
#endif
#ifdef TWO
  if
  :: ANCHORED(op) && op != BOOT && lag == 0 && n < NS -> lag = 1; goto work   /* the register follows later; the effect waits for it */
  :: else -> skip
  fi;
  if :: lag && !ANCHORED(op) -> goto work :: else -> skip fi;
  lag = 0;
#endif
  if
  :: ANCHORED(op) -> atomic { ANCHOR };
     if :: goto boot :: skip fi
  :: else -> skip
  fi;
#ifndef M_EXTFIRST
  atomic { effect(op) }
#endif
  goto work;
fin: skip
}
