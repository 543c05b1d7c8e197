/**
 * Workers that have left, and when they are forgotten: each start of a worker may have a name of its own, so that what a leader
 * keeps and reads would grow with all that have ever been.
 *
 * 1. One is remembered for `goneMs` after it was last heard of, and for as long as a job is kept that was opened before it left:
 *    rows and stories of that job may name it.
 * 2. Jobs without end would keep them all: of those gone for longer no more than `goneMax` are kept. Tasks that one of the others
 *    ran have no worker's name any more.
 * 3. What it was lost with was written down in the turn in which it left, and the forgetting comes in a later one. So a row that
 *    the journal still has with a worker that nobody knows did not die with it, and is simply ready (takeover.ts).
 * 4. Its words were refused from its leaving on, and stay so: what comes from an incarnation that is not known is answered with
 *    `fenced`, and so is its hello, since it says which leader has welcomed it (W12). To a later leader it is new: there its
 *    reports are numbered anew, and what it holds is adopted where its attempt is open.
 */
import { workersMax } from './limits.ts';
import type { State } from './state.ts';
import type { Turn } from './turn.ts';

export function forgetWorkers(state: State, turn: Turn): void {
  const { goneMs, goneMax } = state.bounds;
  const gone = state.workers.filter(({ status, lastHeardMs }) => status === 'left' && turn.nowMs - lastHeardMs > goneMs);
  if (gone.length === 0) return;
  gone.sort((a, b) => a.lastHeardMs - b.lastHeardMs);
  const [oldestJob] = state.jobs.values();
  const tooMany = gone.length - goneMax;
  gone.forEach(({ index, openedBefore }, at) => {
    const isNamed = oldestJob !== undefined && oldestJob.ordinal < openedBefore;
    if (!isNamed || at < tooMany) turn.registryFact(state, { fact: 'worker-forgotten', index });
  });
}

/** In the fold. */
export function removeWorker(state: State, index: number): void {
  const worker = state.workersByIndex.get(index);
  if (!worker) return;
  state.workersByIndex.delete(index);
  state.workersByName.delete(worker.name);
  state.workers.splice(state.workers.indexOf(worker), 1);
}

/** For one that joins. An index that was somebody's is given again as late as can be. */
export function freeIndex({ workers, workersByIndex }: State): number {
  if (workersByIndex.size === workersMax) throw new Error(`there are ${workersMax} workers: no more can be told apart`);
  let index = workers.length === 0 ? 0 : (workers.at(-1)!.index + 1) % workersMax;
  while (workersByIndex.has(index)) index = (index + 1) % workersMax;
  return index;
}
