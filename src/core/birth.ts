/** What a job, its stages and a worker are when they appear: rows empty, links derived from the spec. */
import { Columns } from './columns.ts';
import type { RegistryFact } from './facts.ts';
import type { FoldMoment } from './fold.ts';
import { newFold } from './foldtree.ts';
import { ReadyQueue } from './ranges.ts';
import { bundlesOf, type StageSpec } from './spec.ts';
import type { Job, Stage, StageLinks, State, Worker } from './state.ts';
import { jobStream } from './state.ts';
import { wakeJob } from './wakes.ts';

export function addWorker(state: State, name: string, index: number): Worker {
  const worker: Worker = {
    name,
    index,
    incarnation: '',
    past: new Set(),
    status: 'silent',
    address: '',
    slots: 0,
    queues: new Set(),
    resources: {},
    used: {},
    labels: {},
    host: '',
    pid: 0,
    life: undefined,
    rival: undefined,
    version: '',
    code: undefined,
    names: new Set(),
    memory: undefined,
    cpu: undefined,
    idleSlots: 0,
    why: undefined,
    openedBefore: 0,
    lastHeardMs: 0,
    lastBeat: 0,
    heardNumber: 0,
    ackedNumber: 0,
    owedBytes: 0,
    early: new Set(),
    doubts: 0,
    held: new Set(),
    heldTasks: 0,
    heldSlots: 0,
    heldMs: 0,
    movedMs: 0,
    lastServed: 0,
    refused: new WeakMap(),
    hasListed: false,
    inherited: [],
  };
  state.workers.push(worker);
  state.workersByName.set(name, worker);
  state.workersByIndex.set(index, worker);
  return worker;
}

export function openJob(state: State, fact: Extract<RegistryFact, { fact: 'job-opened' }>, at: FoldMoment): void {
  const { spec } = fact;
  const ageMs = Math.max(0, at.wallMs - fact.wallMs);
  const job: Job = {
    id: fact.job,
    ordinal: state.opened++,
    stream: jobStream(fact.job),
    nextSeq: 0,
    spec,
    digest: fact.digest,
    submission: fact.submission,
    createdWallMs: fact.wallMs,
    changes: { version: 0, last: [] },
    outcome: undefined,
    endedWallMs: undefined,
    dropAtMs: 0,
    dropAlarmMs: 0,
    wakes: 0,
    reason: undefined,
    failure: undefined,
    stages: newStages(spec.stages),
    stories: new Map(),
    hasDeadline: spec.deadlineWallMs !== undefined,
    notBeforeMs: spec.delayMs && spec.delayMs > ageMs ? at.nowMs + spec.delayMs - ageMs : 0,
    started: false,
    factMs: 0,
    isTimed: spec.stages.some(({ feed, ttlMs }) => feed.kind !== 'inputs' && ttlMs !== undefined),
    place: undefined,
    isResting: false,
    recovered: 0,
    feeders: new Map(),
    waiters: [],
    readers: new Set(),
    note: undefined,
    dropping: false,
    logs: 0,
  };
  state.jobs.set(job.id, job);
  state.openJobs++;
  if (spec.key !== undefined) state.keys.set(spec.key, job.id);
  if (job.submission !== undefined) state.submissions.set(job.submission, job.id);
  for (const hash of bundlesOf(spec)) state.bundles.get(hash)?.jobs.add(job.id);
  if (job.notBeforeMs > 0) wakeJob(state, job, job.notBeforeMs, { wake: 'job-start' });
  if (spec.deadlineWallMs !== undefined) {
    wakeJob(state, job, at.nowMs + spec.deadlineWallMs - at.wallMs, { wake: 'job-deadline' });
  }
}

function newStages(specs: readonly StageSpec[]): Stage[] {
  const links = linksOf(specs);
  return specs.map((spec, index) => newStage(spec, index, links[index]!));
}

function newStage(spec: StageSpec, index: number, links: StageLinks): Stage {
  const waitsFor = new Set(spec.after ?? []);
  for (const arg of spec.args ?? []) if (arg.take !== 'same') waitsFor.add(arg.stage);
  return {
    index,
    spec,
    columns: new Columns(),
    ready: new ReadyQueue(),
    counts: new Int32Array(9),
    sealed: false,
    ended: false,
    gatesLeft: waitsFor.size,
    completion: [],
    digest: undefined,
    mark: undefined,
    retried: 0,
    purged: 0,
    links,
    fold: spec.feed.kind === 'fold' ? newFold() : undefined,
    elements: links.spread.length > 0 ? new Map() : undefined,
    taskMs: undefined,
    kind: undefined,
    ttlWake: undefined,
    flowTold: 0,
  };
}

/** Of all stages in one pass: a graph of ten thousand costs ten thousand looks. */
function linksOf(specs: readonly StageSpec[]): StageLinks[] {
  const links = specs.map((spec): StageLinks => ({ each: [], spread: [], folds: [], gates: [], same: sameOf(spec) }));
  specs.forEach(({ feed, args = [], after = [] }, at) => {
    for (const from of links[at]!.same) links[from]!.each.push(at);
    if (feed.kind === 'spread') links[feed.from]!.spread.push(at);
    if (feed.kind === 'fold') links[feed.from]!.folds.push(at);
    const gates = new Set(after);
    for (const arg of args) if (arg.take !== 'same') gates.add(arg.stage);
    for (const from of gates) links[from]!.gates.push(at);
  });
  return links;
}

/** The stages whose result of the same index a task needs; the stage that it mirrors is one of them. */
function sameOf(spec: StageSpec): number[] {
  const same = new Set<number>();
  if (spec.feed.kind === 'each') same.add(spec.feed.from);
  for (const arg of spec.args ?? []) if (arg.take === 'same') same.add(arg.stage);
  return [...same];
}
