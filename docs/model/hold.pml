/* hold.pml - the hold of one transfer, for a device that is destroyed. N plays go from A to B, and may go on from B
 * to C. Until DONE or CONFIRM, B uses them only while its clock, which is proven and wrong by at most 1, says that hold_until has
 * not come: est + 1 < HOLD. An arbiter decides each transfer once:
 *
 *   RELEASE  to A, when somebody says that B is lost (true or not), authenticated time is past HOLD + 1 and nobody has shown a
 *            RECEIPT: gives back N less what was usable offline before hold_until. A passes it on to B, which gives up what it
 *            has of the transfer and says REFUSED; only then does A say DONE.
 *   CONFIRM  to B, on its RECEIPT, when A is lost.
 *
 * What was usable offline is a number that B keeps to as well:
 *   (default) the transfer names it, OFF. No clock protects the counts then.
 *   TIME      what fits in between PREPARE and hold_until: a play takes 1.
 *   WHOLE     the right has no count (N = 1): all is given back, and A and B never can play both.
 *
 * A node is its disk, and a message that was sent may be handed over at any time, any number of times, or never: see copy.pml.
 * A play is on disk before it is seen. A or B may be destroyed, once, at any time.
 *
 *   spin -a hold.pml; gcc -O2 -DSAFETY -DCOLLAPSE -o pan pan.c; ./pan -E -m1000000
 *
 * Asserted: what was played and what can be are together never more than N; without RELEASE and destruction nothing is lost, and
 * with RELEASE only what was usable offline; when nothing can happen any more, no transfer is open at a device that is there
 * (except at B when RELEASE was decided and A destroyed).
 * Mutants, each MUST fail: M_ALL (RELEASE gives back all N), M_NOCAP (B may play all), M_BOTH (RELEASE and CONFIRM), M_MOVE (B
 * moves on what is UNCONFIRMED), M_RELDONE (A says DONE after RELEASE), M_DIRECT (B takes RELEASE from another than A: A may have
 * gone on by the RECEIPT, or may take B's REFUSED for that of a right of which nothing was used), M_SLEEP (DONE and CONFIRM do not
 * end the hold); TIME or WHOLE with M_REL (the hold counts from the installation), M_CLOCK (B's clock is not proven); TIME with
 * M_MARGIN (B has no margin; WHOLE has the arbiter's too, and one is enough); WHOLE with M_EARLY (RELEASE before hold_until). */
#ifdef WHOLE
#define N 1
#define OFF 0
#endif
#ifndef N
#define N 2                     /* plays */
#endif
#ifndef OFF
#define OFF 1                   /* of them, usable offline before hold_until */
#endif
#ifndef HOLD
#define HOLD 3
#endif
#define LAST (HOLD+3)           /* time goes no further */
#ifdef M_MARGIN
#define MARGIN 0
#else
#define MARGIN 1
#endif

#define NONE 0
#define ESCROW 1                /* source */
#define DONE 2
#define ABORT 3
#define INST 1                  /* destination: UNCONFIRMED */
#define REF 2
#define CLOSED 3
#define GONE 4                  /* given up after RELEASE */

byte now;                       /* true time */
byte slow;                      /* how far B's clock is behind */
byte has[3];                    /* plays left at A, B, C; at B those of transfer 0 */
byte played;
byte early;                     /* at B while UNCONFIRMED */
byte begun;                     /* time of PREPARE */
byte ends;                      /* when B's play ends */
byte hold;                      /* what B has stored as hold_until */
byte s[2]; byte d[2]; byte amt[2];              /* transfer 0 from A to B, transfer 1 from B to C */
bit xfer[2]; bit cancel[2]; bit inst[2]; bit ref[2]; bit done[2]; bit stop[2];
bit release; bit confirm;       /* the arbiter's, of transfer 0 */
bit shown;                      /* it has seen the RECEIPT */
bit freed;                      /* A had RELEASE */
bit gone[3];                    /* destroyed */
bit calm;                       /* the owner begins and cancels nothing any more, nothing is destroyed */

#define EST (now - slow)
#ifdef M_REL
#define MAYINSTALL 1
#define NEWHOLD (now + HOLD)
#else
#define MAYINSTALL (EST + MARGIN < HOLD)
#define NEWHOLD HOLD
#endif
#define AWAKE (EST + MARGIN < hold)
#if defined(M_NOCAP) || defined(TIME) || defined(WHOLE)
#define CAP N
#else
#define CAP OFF
#endif
#ifdef TIME
#define LESS (HOLD - begun)     /* B begins a play at begun, ..., HOLD - 1 */
#else
#define LESS OFF
#endif
#ifdef M_ALL
#define BACK amt[0]
#else
#define BACK (amt[0] > LESS -> amt[0] - LESS : 0)
#endif
#ifdef TIME
#define READY (ends <= now)
#else
#define READY 1
#endif
#ifdef WHOLE
#define PLAY(n) skip            /* it stays */
#define CANPLAY(n) 0
#else
#define PLAY(n) has[n]--; played++
#define CANPLAY(n) (!gone[n] && has[n] > 0)
#endif
#ifdef M_EARLY
#define PAST (now >= HOLD - 1)
#else
#define PAST (now > HOLD + 1)
#endif
#ifdef M_BOTH
#define ONCE(x) 1
#else
#define ONCE(x) (!x)
#endif
#ifdef M_MOVE
#define MOVABLE (d[0] == CLOSED || d[0] == INST && AWAKE)
#else
#define MOVABLE (d[0] == CLOSED)
#endif

proctype A() {
  do
  :: atomic { CANPLAY(0)                                            -> PLAY(0) }
  :: atomic { !gone[0] && !calm && s[0] == NONE && has[0] > 0 && now < HOLD -> amt[0] = has[0]; has[0] = 0; s[0] = ESCROW; begun = now }
  :: atomic { !gone[0] && !calm && s[0] == ESCROW && !stop[0]       -> stop[0] = 1 }
  :: atomic { !gone[0] && s[0] == ESCROW && !stop[0] && !xfer[0]    -> xfer[0] = 1 }
  :: atomic { !gone[0] && s[0] == ESCROW && stop[0] && !cancel[0]   -> cancel[0] = 1 }
  :: atomic { !gone[0] && s[0] == ESCROW && inst[0]                 -> s[0] = DONE }
  :: atomic { !gone[0] && s[0] == ESCROW && ref[0]                  -> s[0] = ABORT; has[0] = has[0] + amt[0] }
  :: atomic { !gone[0] && s[0] == ESCROW && release                 -> s[0] = ABORT; has[0] = has[0] + BACK; freed = 1 }
#ifdef M_RELDONE
  :: atomic { !gone[0] && (s[0] == DONE || s[0] == ABORT) && !done[0] -> done[0] = 1 }
#else
  :: atomic { !gone[0] && (s[0] == DONE || s[0] == ABORT && (!freed || ref[0])) && !done[0] -> done[0] = 1 }
#endif
  od
}

proctype B() {
  do
  /* transfer 0 */
  :: atomic { !gone[1] && xfer[0] && d[0] == NONE && MAYINSTALL     -> d[0] = INST; has[1] = amt[0]; hold = NEWHOLD }
  :: atomic { !gone[1] && xfer[0] && d[0] == NONE && !MAYINSTALL    -> d[0] = REF }
  :: atomic { !gone[1] && cancel[0] && d[0] == NONE                 -> d[0] = REF }
  :: atomic { !gone[1] && d[0] == INST && !inst[0]                  -> inst[0] = 1 }
  :: atomic { !gone[1] && (d[0] == REF || d[0] == GONE) && !ref[0]  -> ref[0] = 1 }
#ifndef M_SLEEP
  :: atomic { !gone[1] && d[0] == INST && (done[0] || confirm)      -> d[0] = CLOSED }
#endif
#ifdef M_DIRECT
  :: atomic { !gone[1] && d[0] == INST && release                   -> d[0] = GONE; has[1] = 0 }
#else
  :: atomic { !gone[1] && d[0] == INST && freed && !gone[0]         -> d[0] = GONE; has[1] = 0 }
#endif
  :: atomic { !gone[1] && d[0] == NONE && freed && !gone[0]         -> d[0] = REF }
  /* plays */
  :: atomic { CANPLAY(1) && d[0] == CLOSED                          -> PLAY(1) }
  :: atomic { CANPLAY(1) && d[0] == INST && AWAKE && READY && early < CAP -> PLAY(1); early++; ends = now + 1 }
  /* transfer 1, without a hold */
  :: atomic { !gone[1] && !calm && s[1] == NONE && MOVABLE && has[1] > 0     -> amt[1] = has[1]; has[1] = 0; s[1] = ESCROW }
  :: atomic { !gone[1] && s[1] == ESCROW && !xfer[1]                -> xfer[1] = 1 }
  :: atomic { !gone[1] && s[1] == ESCROW && inst[1]                 -> s[1] = DONE }
  :: atomic { !gone[1] && s[1] == DONE && !done[1]                  -> done[1] = 1 }
#ifdef M_CLOCK
  :: atomic { now < LAST && slow < now                              -> slow++ }
#else
  :: atomic { now < LAST && slow < 1 && slow < now                  -> slow++ }
#endif
  :: atomic { now < LAST && slow > 0                                -> slow-- }
  od
}

proctype C() {
  do
  :: atomic { xfer[1] && d[1] == NONE                               -> d[1] = INST; has[2] = amt[1] }
  :: atomic { d[1] == INST && !inst[1]                              -> inst[1] = 1 }
  :: atomic { d[1] == INST && done[1]                               -> d[1] = CLOSED }
  :: atomic { CANPLAY(2)                                            -> PLAY(2) }
  od
}

proctype World() {
  do
  :: atomic { now < LAST                                            -> now++; if :: slow > now -> slow = now :: else -> skip fi }
  :: atomic { !calm && !gone[0] && !gone[1]                         -> if :: gone[0] = 1 :: gone[1] = 1 fi }
  :: atomic { inst[0] && !shown                                     -> shown = 1 }
  :: atomic { !release && PAST && ONCE(confirm) && s[0] != NONE && (gone[1] || !calm) && !shown -> release = 1 }
  :: atomic { !confirm && shown && ONCE(release) && d[0] == INST && (gone[0] || !calm) -> confirm = 1 }
  :: atomic { !calm                                                 -> calm = 1 }
  od
}

#ifdef WHOLE
#define ATB ((d[0] == CLOSED || d[0] == INST && AWAKE) -> has[1] : 0)
#else
#ifdef TIME
#define ATB (d[0] == CLOSED -> has[1] : (d[0] == INST && AWAKE && READY && has[1] > 0))
#else
#define ATB (d[0] == CLOSED -> has[1] : ((d[0] == INST && AWAKE && early < CAP) -> (has[1] < CAP - early -> has[1] : CAP - early) : 0))
#endif
#endif
#define ONTHEWAY(t) ((s[t] == ESCROW && (d[t] == NONE || d[t] == REF)) -> amt[t] : 0)

proctype Monitor() {
  if
  :: played + has[0] + ATB + has[2] > N -> assert(false)                        /* doubled */
  :: !freed && !gone[0] && !gone[1] && played + has[0] + has[1] + has[2] + ONTHEWAY(0) + ONTHEWAY(1) != N -> assert(false)   /* lost */
  :: freed && !gone[0] && played + has[0] + LESS < N -> assert(false)           /* more lost than must be */
  :: timeout -> assert(gone[0] || s[0] != ESCROW);
       assert(gone[1] || d[0] != INST || release && gone[0]);
       assert(gone[1] || s[1] != ESCROW)
  fi
}

init { atomic { has[0] = N; run A(); run B(); run C(); run World(); run Monitor() } }
