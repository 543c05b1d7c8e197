/**
 * Handing out ready tasks: jobs by priority, those of one priority in turns (a turn is one batch of equal
 * time, so shares are equal); inside a job the stage nearest to the end first, which keeps what is half done
 * small. Costs one look per batch, however many jobs and tasks there are (rings.ts).
 */
import { buildAssign, inputBytes } from './assign.ts';
import { lacksProgram } from './bundles.ts';
import { TaskState } from './columns.ts';
import { assignBytesMax, shortTaskMs, suspectGroupSizes } from './limits.ts';
import { canRun, takesWork, wants } from './placement.ts';
import { RangeList } from './ranges.ts';
import { Reservations } from './reservations.ts';
import { changeLine, drawTicket, hasReady, kindOf, leaveRing, Turns } from './rings.ts';
import { hold } from './rows.ts';
import type { Job, Stage, State, Worker } from './state.ts';
import type { Turn } from './turn.ts';

export function schedule(state: State, turn: Turn): void {
  if (!state.leading || state.rings.length === 0) return;
  const workers = state.workers.filter((worker) => takesWork(worker, turn.nowMs));
  if (workers.length === 0) return;
  const hopeless = new Set<string>();
  const reservations = new Reservations();
  for (const ring of [...state.rings]) {
    const turns = new Turns(ring);
    for (let line = turns.next(); line; line = turns.next()) {
      const { job } = line.first!;
      const gave = hasReady(job) && giveBatch(state, job, { workers, hopeless, reservations }, turn);
      if (!hasReady(job)) leaveRing(state, job);
      else if (gave) drawTicket(state, job);
      else if (!changeLine(state, job)) {
        turns.close(line);
        continue;
      }
      turns.moved(job, line);
    }
  }
}

interface Round {
  workers: readonly Worker[];
  /** Kinds of stages that no worker takes any more. */
  hopeless: Set<string>;
  reservations: Reservations;
}

function giveBatch(state: State, job: Job, { workers, hopeless, reservations }: Round, turn: Turn): boolean {
  for (let s = job.stages.length - 1; s >= 0; s--) {
    const stage = job.stages[s]!;
    if (stage.counts[TaskState.ready] === 0 || state.pausedQueues.has(stage.spec.queue) || lacksProgram(state, stage)) continue;
    if (hopeless.size > 0 && hopeless.has(kindOf(stage))) continue;
    let best: Worker | undefined;
    let bestRank = Number.POSITIVE_INFINITY;
    for (const worker of workers) {
      if (!canRun(worker, stage) || reservations.roomBeside(stage, worker) <= 0) continue;
      const rank = state.policy(worker);
      if (rank < bestRank && wants(state, worker, stage, turn.nowMs) > 0) {
        best = worker;
        bestRank = rank;
      }
    }
    if (!best) {
      hopeless.add(kindOf(stage));
      reservations.keepFor(stage, workers, turn.nowMs);
      continue;
    }
    // Near the end every worker should get some: at most half of an even share at a time.
    const share = Math.ceil(stage.counts[TaskState.ready]! / (2 * workers.length));
    const count = Math.min(
      wants(state, best, stage, turn.nowMs),
      reservations.roomBeside(stage, best),
      workers.length === 1 ? Number.POSITIVE_INFINITY : Math.max(share, best.slots),
    );
    if (hand(state, job, stage, best, count, turn)) return true;
  }
  return false;
}

/**
 * As many as one process may run one after another. Few or long ones are spread over all slots, so that they are through
 * soon; many short ones share a process, whose start costs more than they do.
 */
function suspectGroup(state: State, stage: Stage, suspicion: number): number {
  let slots = 0;
  for (const worker of state.workers) if (worker.status === 'live') slots += worker.slots;
  const share = Math.ceil(stage.counts[TaskState.ready]! / Math.max(1, slots));
  const short = Math.floor(shortTaskMs / (stage.taskMs ?? shortTaskMs));
  return Math.max(1, Math.min(suspectGroupSizes[suspicion - 1]!, Math.max(share, short)));
}

/** Takes tasks of one attempt and one degree of suspicion off the queue and gives them to the worker. */
function hand(state: State, job: Job, stage: Stage, worker: Worker, count: number, turn: Turn): boolean {
  const { columns, ready } = stage;
  const taken = new RangeList();
  let attempt = -1;
  let suspicion = 0;
  let countMax = count;
  let bytes = 0;
  const handle = state.nextSerial;
  const isLast = (index: number): boolean =>
    columns.attempt(index) !== attempt || columns.suspicion(index) !== suspicion || (bytes >= assignBytesMax && taken.count > 0);
  gather: while (!ready.isEmpty && taken.count < countMax) {
    const from = ready.front;
    const end = from + Math.min(ready.frontCount, countMax - taken.count);
    let index = from;
    for (; index < end; index++) {
      if (columns.state(index) !== TaskState.ready) continue;
      if (attempt < 0) {
        attempt = columns.attempt(index);
        suspicion = columns.suspicion(index);
        if (suspicion > 0) countMax = Math.min(countMax, suspectGroup(state, stage, suspicion));
        if (taken.count >= countMax) break;
      } else if (isLast(index)) {
        ready.advance(index - from);
        break gather;
      }
      bytes += inputBytes(job, stage, index);
      columns.assign(index, worker.index, handle);
      taken.add(index);
      if (taken.count >= countMax) {
        index++;
        break;
      }
    }
    ready.advance(index - from);
  }
  if (taken.count === 0) return false;
  state.nextSerial++;
  stage.counts[TaskState.ready]! -= taken.count;
  stage.counts[TaskState.running]! += taken.count;
  job.started = true;
  const assignment = hold(
    state,
    {
      handle,
      term: state.term,
      serial: handle,
      worker,
      job,
      stage,
      attempt,
      alone: suspicion > 0,
      ranges: taken.take(),
    },
    turn.nowMs,
  );
  const mustBeDurable = stage.spec.crashLimit === 0 || suspicion > 0;
  turn.hint(job, { fact: 'tasks-started', stage: stage.index, ranges: assignment.ranges, worker: worker.index }, mustBeDurable);
  turn.effects.push(buildAssign(assignment));
  return true;
}
