/* remove.pml - a member is taken out of the domain, or its certificate revoked, in the middle of transfers to and from it
 * (docs/spec/transfer.md). Nodes A (0) and B (1) have one right each; transfers go both ways. One of them is removed
 * (also: suspended, expired) or revoked at any time, and each side learns of that at any later time, or never.
 *
 *   opening   PREPARE only with a member of the newest generation that the source knows, and its XFER only as long as that is
 *             so; then CANCEL. A destination takes an XFER of the newest generation that it knows, and refuses an older one.
 *   closing   RECEIPT, CANCEL, DONE of what was opened earlier are exchanged whatever the other side has become. Of a revoked
 *             destination INSTALLED counts; REFUSED counts only with RELEASE, which an arbiter gives after hold_until.
 *
 * A revoked B may lie (its REFUSED is worth nothing) once A knows of its revocation; a peer that lies before that is beyond any
 * rule here. A node is its disk, and a message that was sent may be handed over at any time, any number of times, or never: see
 * copy.pml. Time is one bit: hold_until is over, and B by its proven clock knows that.
 *
 *   spin -a remove.pml; gcc -O2 -DSAFETY -DCOLLAPSE -o pan pan.c; ./pan -E -m1000000
 *
 * Asserted: no right is usable twice; none is lost; none is installed by a transfer that was opened when one side knew of the
 * removal; when nothing can happen any more, no transfer is open, whatever was removed when, and whoever knows.
 * Mutants, each MUST fail: M_SHUT (no closing traffic with a removed peer), M_SHUTREV (nor with a revoked one), M_OPEN (the
 * source opens with a removed peer), M_OLDGEN (the destination takes the XFER of an older generation), M_REFUSED (REFUSED of a
 * revoked peer gives the right back), M_NORELEASE (and nothing else does), M_NOCANCEL (XFER is not sent, nor CANCEL),
 * M_RELDONE (the source says DONE after RELEASE). */
#ifndef NQ
#define NQ 1                    /* transfers each way */
#endif
#define NT (2*NQ)
#define SRC(t) (t < NQ -> 0 : 1)
#define DST(t) (t < NQ -> 1 : 0)
#define RIGHTS 2

#define NONE 0
#define ESCROW 1                /* source */
#define DONE 2
#define ABORT 3
#define INST 1                  /* destination: UNCONFIRMED */
#define REF 2
#define CLOSED 3
#define GONE 4                  /* its source had RELEASE and passed it on */

#define MEMBER 0
#define REMOVED 1
#define REVOKED 2
byte is[2];                     /* what a node is */
bit knows[2];                   /* node n has the new generation, or the new revocation list */
bit over;                       /* hold_until */
byte has[2];                    /* rights at a node; those that sleep too */
byte s[NT]; byte d[NT];
bit xfer[NT]; bit cancel[NT]; bit inst[NT]; bit ref[NT]; bit done[NT]; bit release[NT];
bit stop[NT];                   /* the owner wants to cancel */
bit late[NT];                   /* opened when one side knew */
bit freed[NT];                  /* the source had RELEASE, and says so instead of DONE */
bit calm;                       /* the owner begins, cancels and removes nothing any more, and no news travel */

#define CHANGED (is[0] != MEMBER || is[1] != MEMBER)
#define AT(n) (knows[n] -> is[1-n] : MEMBER)    /* what n thinks of the other */
#ifdef M_SHUT
#define HEARS(n) (AT(n) != REMOVED)
#else
#ifdef M_SHUTREV
#define HEARS(n) (AT(n) != REVOKED)
#else
#define HEARS(n) 1
#endif
#endif
#ifdef M_OPEN
#define DEALS(n) 1
#else
#define DEALS(n) (!knows[n])
#endif
#ifdef M_OLDGEN
#define ACCEPTS(n) (AT(n) != REVOKED)
#else
#define ACCEPTS(n) (!knows[n])
#endif
#ifdef M_REFUSED
#define REFUSES(n) 1
#else
#define REFUSES(n) (AT(n) != REVOKED)
#endif

#define I(t) (d[t] == INST)
#if NQ == 1
#define UNCONF(n) (n == 0 -> I(1) : I(0))
#define EACH(f) (f(0) + f(1))
#else
#define UNCONF(n) (n == 0 -> I(2) + I(3) : I(0) + I(1))
#define EACH(f) (f(0) + f(1) + f(2) + f(3))
#endif

proctype Transfer(byte t) {
  do
  /* the owner */
  :: atomic { !calm && s[t] == NONE && (t == 0 || t == NQ || s[t-1] != NONE) && DEALS(SRC(t)) &&
              has[SRC(t)] > UNCONF(SRC(t))                  -> s[t] = ESCROW; has[SRC(t)]--; late[t] = knows[0] || knows[1] }
  :: atomic { !calm && s[t] == ESCROW && !stop[t]           -> stop[t] = 1 }
  /* source */
  :: atomic { s[t] == ESCROW && !xfer[t] && !stop[t] && DEALS(SRC(t))        -> xfer[t] = 1 }
#ifndef M_NOCANCEL
  :: atomic { s[t] == ESCROW && !cancel[t] && (stop[t] || knows[SRC(t)])     -> cancel[t] = 1 }
#else
  :: atomic { s[t] == ESCROW && !cancel[t] && stop[t]                        -> cancel[t] = 1 }
#endif
  :: atomic { s[t] == ESCROW && inst[t] && HEARS(SRC(t))                     -> s[t] = DONE }
  :: atomic { s[t] == ESCROW && ref[t] && HEARS(SRC(t)) && REFUSES(SRC(t))   -> s[t] = ABORT; has[SRC(t)]++ }
  :: atomic { s[t] == ESCROW && release[t]                                   -> s[t] = ABORT; has[SRC(t)]++; freed[t] = 1 }
#ifdef M_RELDONE
  :: atomic { (s[t] == DONE || s[t] == ABORT) && !done[t]                    -> done[t] = 1 }
#else
  :: atomic { (s[t] == DONE || s[t] == ABORT && !freed[t]) && !done[t]       -> done[t] = 1 }
#endif
  /* destination */
  :: atomic { xfer[t] && d[t] == NONE && !over && ACCEPTS(DST(t)) -> d[t] = INST; has[DST(t)]++; assert(!late[t]) }
  :: atomic { xfer[t] && d[t] == NONE && (over || !ACCEPTS(DST(t)))          -> d[t] = REF }
  :: atomic { cancel[t] && d[t] == NONE && HEARS(DST(t))                     -> d[t] = REF }
  :: atomic { d[t] == INST && !inst[t]                                       -> inst[t] = 1 }
  :: atomic { d[t] == REF && !ref[t]                                         -> ref[t] = 1 }
  :: atomic { done[t] && (d[t] == INST || d[t] == REF) && HEARS(DST(t)) -> d[t] = CLOSED }
  :: atomic { freed[t] && d[t] == INST && HEARS(DST(t))                      -> d[t] = GONE; has[DST(t)]-- }
  /* a revoked destination lies: it has installed, or will */
  :: atomic { !calm && is[DST(t)] == REVOKED && knows[SRC(t)] && xfer[t] && !ref[t] -> ref[t] = 1 }
#ifndef M_NORELEASE
  /* the arbiter, of a revoked destination, after hold_until and when no receipt is shown */
  :: atomic { is[DST(t)] == REVOKED && over && s[t] == ESCROW && !release[t] -> release[t] = 1 }
#endif
  od
}

proctype World() {
  do
  :: atomic { !calm && !CHANGED -> if :: is[0] = REMOVED :: is[0] = REVOKED :: is[1] = REMOVED :: is[1] = REVOKED fi }
  :: atomic { !calm && CHANGED && !knows[0] -> knows[0] = 1 }
  :: atomic { !calm && CHANGED && !knows[1] -> knows[1] = 1 }
  :: atomic { !over -> over = 1 }
  :: atomic { !calm -> calm = 1 }
  od
}

#define ASLEEP(t) (d[t] == INST && over)
#define INESCROW(t) (s[t] == ESCROW && d[t] != INST && d[t] != CLOSED)
#define DEAD(t) (freed[t] && d[t] == INST)
#define OPEN(t) (s[t] == ESCROW || d[t] == INST)

proctype Monitor() {
  if
  :: has[0] + has[1] - EACH(ASLEEP) > RIGHTS -> assert(false)                    /* doubled */
  :: has[0] + has[1] + EACH(INESCROW) - EACH(DEAD) != RIGHTS -> assert(false)    /* lost */
  :: timeout -> assert(EACH(OPEN) == 0)
  fi
}

init {
  byte t;
  atomic {
    has[0] = 1; has[1] = 1;
    do :: t < NT -> run Transfer(t); t++ :: else -> break od;
    run World(); run Monitor()
  }
}
