/* copy.pml - COPY with a count of copies and generations (docs/spec/evaluation.md): node 0 holds the parent,
 * N copies may be made of it, children go to node 1; a child there may try to make copies of its own, for node 0.
 *
 * The machine is that of move.pml; what is new is what it carries. PREPARE reserves a copy (and, INHERIT, copies that the
 * child may make), COMMIT makes that consumption, ABORT gives it back; INSTALL makes the child, one generation further.
 *
 * A node is its disk: each step is one durable transaction, or one message of what is on disk, so a crash between two steps
 * is no step, and one within a transaction leaves it undone. (move.pml shows why what is sent must be on disk first.) A
 * message that was sent once may be handed over at any time, any number of times, or never.
 *
 *   spin -a copy.pml; gcc -O2 -DSAFETY -DCOLLAPSE -o pan pan.c; ./pan -E -m1000000
 *
 * N copies, NQ transfers from the parent, NR from children. INHERIT: the child gets copies to make, the limit is 2.
 * FREE: copies are not counted; the generation is the only limit.
 * Asserted: copies that can be made, reserved or made are N in sum on the disks, always; what can be made and what can be used
 * never exceed N; nobody makes a copy beyond the last generation; when nothing can happen any more, no transfer is open.
 * Mutants, each MUST fail: M_TIMEOUT M_TWICE M_NORESERVE M_NODEDUP M_FORGET M_SPLIT M_STATE M_MUTE; FREE with M_GEN; INHERIT with M_KEEP. */
#ifndef N
#define N 2
#endif
#ifndef NQ
#define NQ 2
#endif
#ifndef NR
#define NR 1
#endif
#define NT (NQ+NR)              /* transfers; the first NQ go from node 0 to 1 */
#define SRC(t) (t < NQ -> 0 : 1)
#define DST(t) (t < NQ -> 1 : 0)
#ifdef INHERIT
#define LIMIT 2                 /* generations */
#else
#define LIMIT 1
#endif

#define NONE 0
#define ESCROW 1                /* source */
#define DONE 2
#define ABORT 3
#define INST 1                  /* destination */
#define REF 2
#define CLOSED 3

byte cop[2];                    /* copies that the parent, and the children at node 1, may still make */
byte gen[2];                    /* what the instances there say of themselves: their generation */
byte child;                     /* usable at node 1 */
byte grand;                     /* usable at node 0, made of a child */
byte s[NT]; byte d[NT]; byte amt[NT];           /* amt: one copy, and what is handed over with it */
bit xfer[NT]; bit cancel[NT]; bit inst[NT]; bit ref[NT]; bit done[NT];
bit stop[NT];                   /* the owner wants to cancel */
bit calm;                       /* the owner begins and cancels nothing any more */

#ifdef FREE
#define HAS(n) 1
#define DEBIT(n, a) skip
#define CREDIT(n, a) skip
#else
#define HAS(n) (cop[n] > 0)
#define DEBIT(n, a) cop[n] = (cop[n] > a -> cop[n] - a : 0)
#define CREDIT(n, a) cop[n] = cop[n] + a
#endif
#ifdef M_NODEDUP
#define FRESH(t) (d[t] == NONE || d[t] == INST)
#else
#define FRESH(t) (d[t] == NONE)
#endif

inline prepare(t) {
  h = 0;
#ifdef INHERIT                  /* a child of the last generation has no use for copies */
  if :: gen[SRC(t)] + 1 < LIMIT -> select(h : 0 .. cop[SRC(t)] - 1) :: else -> skip fi;
#endif
  amt[t] = 1 + h; s[t] = ESCROW;
#ifdef M_KEEP
  DEBIT(SRC(t), 1);
#else
#ifndef M_NORESERVE
  DEBIT(SRC(t), amt[t]);
#endif
#endif
  h = 0
}
inline install(t) {
  d[t] = INST;
  if
  :: t < NQ -> child++;
#ifdef M_STATE                  /* the child gets the state of its parent */
       cop[1] = cop[1] + cop[0];
#else
       CREDIT(1, amt[t] - 1);
#endif
#ifdef M_GEN
       gen[1] = gen[0]
#else
       gen[1] = gen[0] + 1
#endif
  :: else -> grand++
  fi
}
inline commit(t) {
#if defined(M_TWICE) || defined(M_NORESERVE)
  DEBIT(SRC(t), amt[t]);
#endif
  s[t] = DONE
}

proctype Transfer(byte t) {
  byte h;
  do
  /* owner: sequence numbers of one pair are used in order */
  :: atomic { !calm && s[t] == NONE && (t == 0 || t == NQ || s[t-1] != NONE) && (t < NQ || child > 0) &&
              gen[SRC(t)] < LIMIT && HAS(SRC(t))              -> prepare(t) }
  :: atomic { !calm && s[t] == ESCROW && !stop[t]                -> stop[t] = 1 }
  /* source */
  :: atomic { s[t] == ESCROW && !stop[t] && !xfer[t]             -> xfer[t] = 1 }
  :: atomic { s[t] == ESCROW && stop[t] && !cancel[t]            -> cancel[t] = 1 }
  :: atomic { s[t] == ESCROW && inst[t]                          -> commit(t) }
#ifdef M_SPLIT                  /* credit and end of the escrow are two transactions, with a crash between */
  :: atomic { s[t] == ESCROW && ref[t]                           -> CREDIT(SRC(t), amt[t]) }
  :: atomic { s[t] == ESCROW && ref[t]                           -> s[t] = ABORT }
#else
  :: atomic { s[t] == ESCROW && ref[t]                           -> s[t] = ABORT; CREDIT(SRC(t), amt[t]) }
#endif
#ifdef M_TIMEOUT
  :: atomic { s[t] == ESCROW && xfer[t]                          -> s[t] = ABORT; CREDIT(SRC(t), amt[t]) }
#endif
  :: atomic { (s[t] == DONE || s[t] == ABORT) && !done[t]        -> done[t] = 1 }
  /* destination */
  :: atomic { xfer[t] && FRESH(t)                                -> install(t) }
  :: atomic { !calm && xfer[t] && d[t] == NONE                   -> d[t] = REF }  /* not acceptable */
  :: atomic { cancel[t] && d[t] == NONE                          -> d[t] = REF }
  :: atomic { d[t] == INST && !inst[t]                           -> inst[t] = 1 }
#ifndef M_MUTE
  :: atomic { d[t] == REF && !ref[t]                             -> ref[t] = 1 }
#endif
#ifdef M_FORGET
  :: atomic { done[t] && (d[t] == INST || d[t] == REF)           -> d[t] = NONE }
#else
  :: atomic { done[t] && (d[t] == INST || d[t] == REF)           -> d[t] = CLOSED }
#endif
  od
}

init {
  byte t;
  atomic {
    gen[1] = LIMIT;             /* nobody there yet */
#ifndef FREE
    cop[0] = N;
#endif
    do :: t < NT -> run Transfer(t); t++ :: else -> break od;
    run Monitor()
  }
  calm = 1
}

/* reserved and not installed */
#ifdef M_NORESERVE
#define R(t) 0
#else
#define R(t) ((s[t] == ESCROW && d[t] != INST && d[t] != CLOSED) -> amt[t] : 0)
#endif
#define OPEN(t) (s[t] == ESCROW || d[t] == INST || d[t] == REF)
#if NT == 3
#define RESERVED (R(0) + R(1) + R(2))
#define ANYOPEN (OPEN(0) || OPEN(1) || OPEN(2))
#else
#define RESERVED (R(0) + R(1) + R(2) + R(3))
#define ANYOPEN (OPEN(0) || OPEN(1) || OPEN(2) || OPEN(3))
#endif
#define USABLE (cop[0] + cop[1] + child + grand)

proctype Monitor() {
  if
#ifdef FREE
  :: grand > 0 -> assert(false)                   /* a child made a copy */
#else
  :: USABLE > N -> assert(false)                  /* more than were allowed */
  :: USABLE + RESERVED != N -> assert(false)      /* some are lost */
#ifndef INHERIT
  :: grand > 0 -> assert(false)
#endif
#endif
  :: timeout -> assert(!ANYOPEN)
  fi
}
