/**
 * The core's one entrance: a synchronous, deterministic state machine. No I/O, no clock, no chance: time and
 * seed come in with the turn, and all that happens goes out through it (see turn.ts).
 *
 *   const turn = new Turn({ nowMs, wallMs, seed });
 *   for (const input of inbox) step(state, input, turn);
 *   endTurn(state, turn);
 *   // append turn.drafts; then carry out turn.effects
 */

import { onClient, onSessionClosed } from './clients.ts';
import { TaskState } from './columns.ts';
import { dropJob } from './drop.ts';
import { forgetWorkers } from './gone.ts';
import type { Input } from './inputs.ts';
import { tickGapMs } from './limits.ts';
import { rollLog } from './logs.ts';
import { enring, hasReady } from './rings.ts';
import { rollRegistry } from './roll.ts';
import { makeReady } from './rows.ts';
import { schedule } from './schedule.ts';
import { endJob, settleJobs } from './settle.ts';
import type { State, Wake } from './state.ts';
import { steal } from './steal.ts';
import { onTookOver } from './takeover.ts';
import { expire } from './ttl.ts';
import type { Turn } from './turn.ts';
import { jobOf, trimWakes } from './wakes.ts';
import { acknowledge, judgeLeases, onConnectionClosed, onLeaseWake, onWorker } from './workers.ts';

export function step(state: State, input: Input, turn: Turn): void {
  switch (input.from) {
    case 'client':
      if (input.message === 'closed') onSessionClosed(state, input.session);
      else if ('newId' in input) onClient(state, input.session, input.message, input.newId, turn);
      return;
    case 'worker':
      return onWorker(state, input.message, turn);
    case 'self':
      return onSelf(state, input, turn);
  }
}

/** Once per turn, after its inputs: leases, due timers, ends of jobs, new assignments, acknowledgements, deliveries. */
export function endTurn(state: State, turn: Turn): void {
  if (!state.leading) return;
  if (turn.tick !== 'none') {
    judgeLeases(state, turn, turn.tick === 'after a gap');
    forgetWorkers(state, turn);
  }
  for (let wake = state.timers.takeDue(turn.nowMs); wake; wake = state.timers.takeDue(turn.nowMs)) onWake(state, wake, turn);
  settleJobs(state, turn);
  schedule(state, turn);
  if (turn.tick !== 'none') steal(state, turn);
  acknowledge(state, turn);
  rollRegistry(state, turn);
  trimWakes(state);
}

function onSelf(state: State, input: Extract<Input, { from: 'self' }>, turn: Turn): void {
  switch (input.event) {
    case 'tick': {
      const stoodStill = turn.nowMs - state.lastTickMs > tickGapMs;
      state.lastTickMs = turn.nowMs;
      const { refusedCount: count = 0, isBrokerDown = false } = input;
      state.isBrokerDown = isBrokerDown;
      // What can't be heard says nothing about whoever is silent.
      const isUnsure = stoodStill || isBrokerDown;
      turn.tick = isUnsure || turn.tick === 'after a gap' ? 'after a gap' : 'on time';
      if (count > (state.refused?.count ?? 0)) state.refused = { count, atMs: turn.nowMs };
      return;
    }
    case 'lease':
      if (state.leading) turn.registryFact(state, { fact: 'lease', term: state.term });
      return;
    case 'committed':
      state.commitMs += (input.tookMs - state.commitMs) / 8;
      return;
    case 'full':
      state.full = input.full;
      return;
    case 'connectionClosed':
      if (state.leading) onConnectionClosed(state, input.address, turn);
      return;
    case 'logFull':
      return rollLog(state, input.job, input.generation, turn);
    case 'streamsGone':
      for (const stream of input.streams) state.orphans.delete(stream);
      return;
    case 'tookOver':
      return onTookOver(state, input.term, turn);
  }
}

function onWake(state: State, wake: Wake, turn: Turn): void {
  if (wake.wake === 'lease') return onLeaseWake(state, wake, turn);
  const job = jobOf(state, wake);
  if (!job) return;
  switch (wake.wake) {
    case 'retry': {
      const stage = job.stages[wake.stage]!;
      const isStill = stage.columns.state(wake.index) === TaskState.delayed && stage.columns.attempt(wake.index) === wake.attempt;
      if (isStill) makeReady(state, job, stage, wake.index, 1);
      return;
    }
    case 'job-start':
      job.notBeforeMs = 0;
      if (hasReady(job)) enring(state, job);
      return;
    case 'job-deadline':
      if (job.outcome === undefined && job.hasDeadline) endJob(state, job, 'expired', 'its deadline has passed', turn);
      return;
    case 'ttl':
      return expire(state, job, wake, turn);
    case 'drop':
      // Replayed since, it has another end.
      if (job.outcome !== undefined && turn.nowMs >= job.dropAtMs) dropJob(state, job, turn);
      return;
  }
}
