/** The roster: who is there, what each holds, and what becomes of it when one is lost (rules 6–10). */

import { buildAssign } from './assign.ts';
import { onBundleWanted } from './bundles.ts';
import { isFinal, TaskState } from './columns.ts';
import { freeIndex } from './gone.ts';
import { heldHash } from './held-hash.ts';
import { ackOwedBytesMax, ackOwedMax, assignGraceMs, beatMs, closeGraceMs, leaseMs, tickGapMs } from './limits.ts';
import { onLines } from './logs.ts';
import type { FromWorker, Ranges } from './messages.ts';
import { isTaken } from './namesakes.ts';
import { indicesOf, RangeList } from './ranges.ts';
import { crash, giveBack, onReport } from './reports.ts';
import { detach, hold, putBack } from './rows.ts';
import type { Assignment, Job, Stage, State, Wake, Worker } from './state.ts';
import type { Effect, Turn } from './turn.ts';

export function onWorker(state: State, message: FromWorker, turn: Turn): void {
  if (message.kind === 'hello') return onHello(state, message, turn);
  const worker = state.workersByName.get(message.worker);
  if (message.kind === 'died') {
    // Of an incarnation that is known to be gone there is nothing to say.
    if (worker?.incarnation === message.incarnation && worker.status !== 'left') onDied(state, worker, message, turn);
    return;
  }
  if (!worker || worker.incarnation !== message.incarnation || (worker.status !== 'live' && worker.status !== 'draining')) {
    // Lost or unknown (W12, C19): whatever it says is refused; it drops all and comes back as a new incarnation.
    turn.send(`worker.${message.worker}.${message.incarnation}`, { kind: 'fenced', term: state.term });
    return;
  }
  worker.lastHeardMs = turn.nowMs;
  switch (message.kind) {
    case 'beat':
      return onBeat(worker, message, turn, state);
    case 'held':
      return onHeld(state, worker, message, turn);
    case 'goodbye':
      return onGoodbye(state, worker, turn);
    case 'logs':
      return onLines(state, message.lines, turn);
    case 'bundleWanted':
      return onBundleWanted(state, worker, message, turn);
    case 'note': {
      const job = state.jobs.get(message.job);
      if (job)
        job.note = `${message.done}${message.total === undefined ? '' : ` / ${message.total}`}${message.note ? ` ${message.note}` : ''}`;
      return;
    }
    default:
      numbered(worker, message.number);
      if (message.kind !== 'released' && message.kind !== 'refused') worker.movedMs = turn.nowMs;
      if ('body' in message) for (const chunk of message.body) worker.owedBytes += chunk.length;
      return onReport(state, worker, message, turn);
  }
}

/** Acknowledged up to the first number that is missing. */
function numbered(worker: Worker, number: number): void {
  if (number === worker.heardNumber + 1) {
    worker.heardNumber = number;
    while (worker.early.delete(worker.heardNumber + 1)) worker.heardNumber++;
  } else if (number > worker.heardNumber) worker.early.add(number);
  else worker.ackedNumber = Math.min(worker.ackedNumber, number - 1);
}

/** After the facts of the reports: tell each worker what it may forget. */
export function acknowledge(state: State, turn: Turn): void {
  for (const worker of state.workers) {
    const owed = worker.heardNumber - worker.ackedNumber;
    if (owed <= 0 || worker.status === 'left') continue;
    // One by one it would cost each small task a message; the rest goes with the next beat's answer.
    if (owed < ackOwedMax && worker.owedBytes < ackOwedBytesMax) continue;
    acknowledged(worker);
    turn.send(worker.address, { kind: 'ackResults', term: state.term, number: worker.heardNumber });
  }
}

/** Of a leader that leaves, once all that it heard is stored: nobody needs to wait for the next one to forget it. */
export function farewell(state: State): Effect[] {
  const effects: Effect[] = [];
  for (const { status, address, heardNumber: number } of state.workers) {
    if (status === 'left' || number === 0) continue;
    effects.push({ effect: 'send', address, message: { kind: 'ackResults', term: state.term, number } });
  }
  return effects;
}

function acknowledged(worker: Worker): void {
  worker.ackedNumber = worker.heardNumber;
  worker.owedBytes = 0;
}

function onHello(state: State, message: Extract<FromWorker, { kind: 'hello' }>, turn: Turn): void {
  if (message.welcomed !== undefined && message.welcomed > state.term) return onLaterTerm(state, message, message.welcomed, turn);
  let worker = state.workersByName.get(message.worker);
  const isSame = worker?.incarnation === message.incarnation;
  if ((isSame && worker?.status === 'left') || worker?.past.has(message.incarnation)) {
    // Given up, or a late word of an earlier life, which must not take the place of the present one (H9): it may come back
    // under a new incarnation only, whose reports are numbered from 1 again.
    turn.send(message.address, { kind: 'fenced', term: state.term });
    return;
  }
  if (!isSame) {
    // It greeted this leader before, and has been forgotten since: its reports are numbered from then.
    if (message.welcomed === state.term) return turn.send(message.address, { kind: 'fenced', term: state.term });
    if (worker && isTaken(state, worker, message, turn)) return;
    if (worker && worker.status !== 'left') loseWorker(state, worker, 'started anew', turn);
    const index = worker?.index ?? freeIndex(state);
    turn.registryFact(state, { fact: 'worker-joined', worker: message.worker, incarnation: message.incarnation, index });
    worker = state.workersByName.get(message.worker)!;
    worker.heardNumber = 0;
    worker.ackedNumber = 0;
    worker.early.clear();
    worker.refused = new WeakMap();
    worker.lastBeat = 0;
    // A process that no leader has welcomed holds nothing.
    worker.hasListed = message.welcomed === undefined;
  }
  const known = worker!;
  // Without slots it drains already; one that was asked to and has not heard is asked again with its next beat.
  known.status = message.slots === 0 || known.status === 'draining' ? 'draining' : 'live';
  known.address = message.address;
  known.slots = message.slots;
  known.queues = new Set(message.queues);
  known.resources = message.resources;
  known.labels = message.labels;
  known.host = message.host;
  known.pid = message.pid;
  known.life = message.life;
  known.rival = undefined;
  known.version = message.version;
  known.code = message.code;
  known.names = new Set(message.code.kind === 'named' ? message.code.names : []);
  known.why = undefined;
  known.lastHeardMs = turn.nowMs;
  turn.send(known.address, { kind: 'welcome', term: state.term, address: `coordinator.${state.term}`, leaseMs, beatMs });
}

/**
 * Either another leads, and this lease is refused; or the journal was set back, and what the worker has belongs to jobs as they
 * were before that (S07). It listens to no lower term than its own.
 */
function onLaterTerm(state: State, { worker, address }: { worker: string; address: string }, term: number, turn: Turn): void {
  turn.registryFact(state, { fact: 'lease', term: state.term });
  turn.send(address, { kind: 'fenced', term });
  const line = `worker ${worker} was led in term ${term}, of which this journal knows nothing (its own is ${state.term}): it was set back, or is another one; the worker drops what it has and starts anew`;
  turn.effects.push({ effect: 'warn', line });
}

const beatsPerList = 10;

function onBeat(worker: Worker, message: Extract<FromWorker, { kind: 'beat' }>, turn: Turn, state: State): void {
  if (message.number <= worker.lastBeat) return;
  worker.lastBeat = message.number;
  worker.memory = message.memory;
  worker.cpu = message.cpu;
  worker.idleSlots = message.idle ?? 0;
  // The answer is the worker's lease: it lives on the leader's word as the leader lives on its.
  const owed = worker.heardNumber - worker.ackedNumber;
  acknowledged(worker);
  turn.send(worker.address, { kind: 'ackResults', term: state.term, number: worker.ackedNumber });
  // It was asked to drain and has not heard of it yet.
  if (worker.status === 'draining' && worker.slots > 0) turn.send(worker.address, { kind: 'drain', term: state.term });
  // Its first list to this leader was lost: nobody gives it anything, nor runs what it may have started before.
  if (!worker.hasListed) return turn.send(worker.address, { kind: 'report', term: state.term });
  // It still holds what it was not told to forget, and one that reports all the time does so at each beat: then it lists it, now and then.
  if (owed > 0) {
    if (message.number % beatsPerList === 0) turn.send(worker.address, { kind: 'report', term: state.term });
    return;
  }
  const held = [...worker.held].map((handle) => state.assignments.get(handle)!);
  const hash = heldHash(held.map(({ term, serial, open }) => ({ term, serial, remaining: open })));
  const agrees = message.count === held.length && message.hash === hash;
  // What is on the way either way makes one beat differ; two in a row mean that something was lost.
  worker.doubts = agrees ? 0 : worker.doubts + 1;
  if (worker.doubts >= 2) turn.send(worker.address, { kind: 'report', term: state.term });
}

/** The full list (rule 8): missing only if the worker has seen the serial; not seen for a grace: sent again; unknown: adopted or aborted. */
function onHeld(state: State, worker: Worker, message: Extract<FromWorker, { kind: 'held' }>, turn: Turn): void {
  worker.doubts = 0;
  const listed = new Set<number>();
  for (const item of message.held) {
    const handle = item.term === state.term ? item.serial : state.adopted.get(`${item.term}:${item.serial}`);
    if (handle !== undefined && state.assignments.has(handle)) listed.add(handle);
    else {
      const adopted = adopt(state, worker, item, turn);
      if (adopted === undefined) {
        turn.send(worker.address, {
          kind: 'abort',
          term: item.term,
          serial: item.serial,
          ranges: Uint32Array.from(item.ranges),
          reason: 'not wanted any more',
        });
      } else listed.add(adopted);
    }
  }
  for (const handle of [...worker.held]) {
    if (listed.has(handle)) continue;
    const assignment = state.assignments.get(handle)!;
    // It may be on its way, and a later one, or this list, may have overtaken it.
    if (turn.nowMs - assignment.sentMs < assignGraceMs) continue;
    if (assignment.term !== state.term || assignment.serial <= message.lastSerial) {
      giveBack(state, assignment.job, assignment.stage, handle, assignment.ranges);
    } else {
      assignment.sentMs = turn.nowMs;
      // A late list of what is long under way: what has an end by now is not handed out again.
      turn.effects.push(buildAssign({ ...assignment, ranges: openRanges(assignment) }));
    }
  }
  if (message.term !== state.term) return;
  worker.hasListed = true;
  resolveInherited(state, worker, turn);
}

/** The rows that still run under it. */
function openRanges({ handle, ranges, stage }: Assignment): Ranges {
  const list = new RangeList();
  for (const index of indicesOf(ranges)) if (stage.columns.serial(index) === handle) list.add(index);
  return list.take();
}

/** Work of an earlier term that goes on: its rows are taken over where their attempt is open and nobody else holds them. */
function adopt(state: State, worker: Worker, item: Extract<FromWorker, { kind: 'held' }>['held'][number], turn: Turn): number | undefined {
  const job = state.jobs.get(item.job);
  const stage = job?.stages[item.stage];
  if (!job || !stage || job.outcome !== undefined || item.term >= state.term) return undefined;
  const { columns, counts } = stage;
  const handle = state.nextSerial++;
  const list = new RangeList();
  for (const index of indicesOf(Uint32Array.from(item.ranges))) {
    if (index >= columns.length || isFinal(columns.state(index)) || columns.attempt(index) !== item.attempt) continue;
    if (columns.state(index) === TaskState.running && columns.serial(index) !== 0) continue;
    counts[columns.state(index)]!--;
    counts[TaskState.running]!++;
    columns.assign(index, worker.index, handle);
    list.add(index);
  }
  if (list.count === 0) return undefined;
  const { term, serial, attempt } = item;
  hold(state, { handle, term, serial, worker, job, stage, attempt, alone: false, ranges: list.take() }, turn.nowMs);
  state.adopted.set(`${term}:${serial}`, handle);
  return handle;
}

function onGoodbye(state: State, worker: Worker, turn: Turn): void {
  for (const handle of [...worker.held]) {
    const assignment = state.assignments.get(handle)!;
    giveBack(state, assignment.job, assignment.stage, handle, assignment.ranges);
  }
  resolveInherited(state, worker, turn);
  turn.registryFact(state, { fact: 'worker-left', worker: worker.name, incarnation: worker.incarnation, why: 'goodbye' });
}

/** Whoever started its process saw it end. */
function onDied(state: State, worker: Worker, message: Extract<FromWorker, { kind: 'died' }>, turn: Turn): void {
  worker.memory = message.memory ?? worker.memory;
  loseWorker(state, worker, message.how.text, turn);
}

/** Its line closed: the same incarnation may come back within a grace, after that it is lost (H12). */
export function onConnectionClosed(state: State, address: string, turn: Turn): void {
  const worker = state.workers.find((each) => each.address === address);
  if (!worker || worker.status === 'left') return;
  worker.lastHeardMs = Math.min(worker.lastHeardMs, turn.nowMs - leaseMs + closeGraceMs);
  state.timers.set(turn.nowMs + closeGraceMs, { wake: 'lease', worker: worker.index, incarnation: worker.incarnation });
}

/** The grace after a closed connection is over. */
export function onLeaseWake(state: State, wake: Extract<Wake, { wake: 'lease' }>, turn: Turn): void {
  const worker = state.workersByIndex.get(wake.worker);
  if (!worker || worker.incarnation !== wake.incarnation || worker.status === 'left') return;
  if (turn.nowMs - worker.lastHeardMs < leaseMs) return;
  // This process stood still, and the worker may have come back meanwhile: the tick that finds out renews its lease (K05).
  if (turn.nowMs - state.lastTickMs > tickGapMs) return state.timers.set(turn.nowMs + closeGraceMs, wake);
  loseWorker(state, worker, `its connection closed and it did not come back within ${closeGraceMs} ms`, turn);
}

/** Its lease is over, or a new incarnation has taken its name. What it held may have run, and may be why it died. */
function loseWorker(state: State, worker: Worker, how: string, turn: Turn): void {
  const why = describeLoss(state, worker, how);
  let aloneCount = 0;
  for (const handle of [...worker.held]) {
    const assignment = state.assignments.get(handle)!;
    // What runs alone starts in the order in which it came, in as many processes as there are slots: the others have only waited.
    const hasWaited = assignment.alone && aloneCount++ >= worker.slots;
    loseTasks(state, worker, assignment.job, assignment.stage, openRanges(assignment), { why, hasWaited }, turn);
  }
  resolveInherited(state, worker, turn, why);
  turn.registryFact(state, { fact: 'worker-left', worker: worker.name, incarnation: worker.incarnation, why });
}

/** What a person needs to find out why: how it went, its last memory reading, what it had. */
function describeLoss(state: State, worker: Worker, how: string): string {
  const parts = [how];
  if (worker.memory) parts.push(`memory last ${mebibytes(worker.memory.bytes)} of ${mebibytes(worker.memory.bytesMax)}`);
  const held: string[] = [];
  for (const handle of worker.held) {
    const { job, stage, ranges } = state.assignments.get(handle)!;
    const more = ranges.length > 2 || ranges[1]! > 1;
    if (held.length < 4) held.push(`${stage.spec.definition?.name ?? job.spec.name}[${ranges[0]}]${more ? '…' : ''}`);
  }
  if (worker.heldTasks > 0) parts.push(`it held ${worker.heldTasks} ${worker.heldTasks === 1 ? 'task' : 'tasks'}: ${held.join(', ')}`);
  return parts.join('; ');
}

function mebibytes(bytes: number): string {
  return `${Math.round(bytes / 2 ** 20)} MiB`;
}

/** Rule 7: not charged, but suspect; at the last degree of suspicion, or with crashLimit 0, it was the task. */
function loseTasks(
  state: State,
  worker: Worker,
  job: Job,
  stage: Stage,
  ranges: Ranges,
  { why, hasWaited }: { why: string; hasWaited: boolean },
  turn: Turn,
): void {
  const lost = new RangeList();
  const blamed: number[] = [];
  for (const index of indicesOf(ranges)) {
    if (stage.columns.state(index) !== TaskState.running) continue;
    if (stage.spec.crashLimit === 0 || (!hasWaited && stage.columns.suspicion(index) >= 3)) blamed.push(index);
    else lost.add(index);
  }
  if (lost.count > 0) {
    turn.jobFact(state, job, { fact: 'tasks-lost', stage: stage.index, ranges: lost.take(), worker: worker.index });
  }
  for (const index of blamed) {
    const error = { name: 'WorkerLostError', message: `worker ${worker.name} was lost while it ran this task: ${why}`, code: 'SH2003' };
    detach(state, stage, index);
    crash(state, worker, job, stage, index, 'worker lost', error, turn);
  }
}

/**
 * Rows that the journal says this worker may have started before this term, and that nobody holds now. One that lives, or left in
 * order, did not die of them: it never had them, or its report of them is on the way. `lost`: how it went otherwise.
 */
export function resolveInherited(state: State, worker: Worker, turn: Turn, lost?: string): void {
  for (const { job, stage, ranges } of worker.inherited) {
    if (!state.jobs.has(job.id) || job.outcome !== undefined) continue;
    const list = new RangeList();
    for (const index of indicesOf(ranges)) {
      const { columns } = stage;
      if (columns.state(index) === TaskState.running && columns.serial(index) === 0 && columns.holder(index) === worker.index)
        list.add(index);
    }
    if (list.count === 0) continue;
    if (lost === undefined) putBack(state, job, stage, list.take());
    else loseTasks(state, worker, job, stage, list.take(), { why: lost, hasWaited: false }, turn);
  }
  worker.inherited = [];
}

/** Leases are judged by monotonic time; a gap in our own ticks renews them all (rule 10, K05). */
export function judgeLeases(state: State, turn: Turn, stoodStill: boolean): void {
  for (const worker of state.workers) {
    if (worker.status === 'left') continue;
    if (stoodStill) worker.lastHeardMs = turn.nowMs;
    else if (turn.nowMs - worker.lastHeardMs > leaseMs) loseWorker(state, worker, `silent for ${leaseMs} ms`, turn);
  }
}
