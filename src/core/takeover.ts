/**
 * Becoming the leader: the shell has folded the registry and every live stream up to this term's barrier;
 * from here on the state is ours. What the facts do not hold is derived anew (ready queues, rings, who may
 * have started what), and what the last leader left half done is finished.
 */

import { TaskState } from './columns.ts';
import { dropJob } from './drop.ts';
import { RangeList } from './ranges.ts';
import { enring, hasReady } from './rings.ts';
import { freshStream } from './roll.ts';
import { makeReady } from './rows.ts';
import type { Job, Stage, State } from './state.ts';
import type { Turn } from './turn.ts';
import { resolveInherited } from './workers.ts';

export function onTookOver(state: State, term: number, turn: Turn): void {
  if (state.term > 0) state.orphans.add(freshStream(state.registry, state.term));
  state.term = term;
  state.leading = true;
  state.lastTickMs = turn.nowMs;
  for (const worker of state.workers) worker.lastHeardMs = turn.nowMs;
  state.rings.length = 0;
  for (const job of state.jobs.values()) {
    job.place = undefined;
    job.isResting = state.isOneMachine && job.outcome === undefined;
    if (job.isResting) state.restingJobs++;
    for (const stage of job.stages) rebuild(state, job, stage);
    job.recovered = countRecovered(job);
    if (hasReady(job)) enring(state, job);
    state.touched.add(job);
  }
  for (const worker of state.workers) {
    const { status, why } = worker;
    // Whoever left in order handed back what it had; nobody wrote down that it is not started any more.
    if (status === 'left') resolveInherited(state, worker, turn, why === 'goodbye' ? undefined : 'it left before the coordinator changed');
  }
  for (const stream of state.orphans) turn.effects.push({ effect: 'dropStream', stream });
  for (const job of [...state.jobs.values()]) if (job.dropping) dropJob(state, job, turn);
}

function rebuild(state: State, job: Job, stage: Stage): void {
  const { columns, ready } = stage;
  ready.clear();
  if (job.outcome !== undefined) return;
  const inherited = new Map<number, RangeList>();
  for (let index = 0; index < columns.length; index++) {
    const taskState = columns.state(index);
    const holder = columns.holder(index);
    if (taskState === TaskState.ready) ready.push(index, 1);
    // Its joining was not stored with the hint, so nothing was ever sent to it; or it is forgotten, and its loss would be known.
    else if (taskState === TaskState.running && !state.workersByIndex.has(holder)) makeReady(state, job, stage, index, 1);
    else if (taskState === TaskState.running) {
      const list = inherited.get(holder) ?? new RangeList();
      inherited.set(holder, list);
      list.add(index);
    }
  }
  for (const [holder, list] of inherited) state.workersByIndex.get(holder)!.inherited.push({ job, stage, ranges: list.take() });
}

function countRecovered(job: Job): number {
  let done = 0;
  for (const stage of job.stages) if (stage.spec.definition && !stage.fold) done += stage.counts[TaskState.done]!;
  return done;
}
