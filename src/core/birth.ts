/** What a job, its stages and a worker are when they appear: rows empty, links derived from the spec. */
import { Columns } from './columns.ts';
import type { RegistryFact } from './facts.ts';
import type { FoldMoment } from './fold.ts';
import { newFold } from './foldtree.ts';
import { ReadyQueue } from './ranges.ts';
import { bundlesOf, type StageSpec } from './spec.ts';
import type { Job, Stage, StageLinks, State, Worker } from './state.ts';
import { jobStream } from './state.ts';

export function addWorker(state: State, name: string, index: number): Worker {
  const worker: Worker = {
    name,
    index,
    incarnation: '',
    status: 'silent',
    address: '',
    slots: 0,
    queues: new Set(),
    resources: {},
    used: {},
    labels: {},
    host: '',
    pid: 0,
    version: '',
    code: undefined,
    names: new Set(),
    memory: undefined,
    why: undefined,
    lastHeardMs: 0,
    lastBeat: 0,
    lastSerialSeen: 0,
    heardNumber: 0,
    ackedNumber: 0,
    owedBytes: 0,
    early: new Set(),
    doubts: 0,
    held: new Set(),
    heldTasks: 0,
    heldMs: 0,
    refused: new Set(),
    inherited: [],
  };
  state.workers[index] = worker;
  state.workersByName.set(name, worker);
  return worker;
}

export function openJob(state: State, fact: Extract<RegistryFact, { fact: 'job-opened' }>, at: FoldMoment): void {
  const { spec } = fact;
  const ageMs = Math.max(0, at.wallMs - fact.wallMs);
  const job: Job = {
    id: fact.job,
    stream: jobStream(fact.job),
    nextSeq: 0,
    spec,
    digest: fact.digest,
    submission: fact.submission,
    createdWallMs: fact.wallMs,
    outcome: undefined,
    endedWallMs: undefined,
    dropAtMs: 0,
    dropAlarmMs: 0,
    reason: undefined,
    failure: undefined,
    stages: spec.stages.map((stage, index) => newStage(spec.stages, stage, index)),
    stories: new Map(),
    hasDeadline: spec.deadlineWallMs !== undefined,
    notBeforeMs: spec.delayMs && spec.delayMs > ageMs ? at.nowMs + spec.delayMs - ageMs : 0,
    started: false,
    inRing: false,
    isResting: false,
    recovered: 0,
    feeder: undefined,
    feederWaits: false,
    waiters: [],
    readers: new Set(),
    note: undefined,
    dropping: false,
  };
  state.jobs.set(job.id, job);
  state.openJobs++;
  if (spec.key !== undefined) state.keys.set(spec.key, job.id);
  if (job.submission !== undefined) state.submissions.set(job.submission, job.id);
  for (const hash of bundlesOf(spec)) state.bundles.get(hash)?.jobs.add(job.id);
  if (job.notBeforeMs > 0) state.timers.set(job.notBeforeMs, { wake: 'job-start', job: job.id });
  if (spec.deadlineWallMs !== undefined) {
    state.timers.set(at.nowMs + spec.deadlineWallMs - at.wallMs, { wake: 'job-deadline', job: job.id });
  }
}

function newStage(specs: readonly StageSpec[], spec: StageSpec, index: number): Stage {
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
    retried: 0,
    purged: 0,
    links: linksOf(specs, index),
    fold: spec.feed.kind === 'fold' ? newFold() : undefined,
    elements: specs.some((other) => other.feed.kind === 'spread' && other.feed.from === index) ? new Map() : undefined,
    taskMs: undefined,
    flowTold: 0,
  };
}

function linksOf(specs: readonly StageSpec[], index: number): StageLinks {
  const links: StageLinks = { each: [], spread: [], folds: [], gates: [], same: [] };
  specs.forEach((other, at) => {
    const same = sameOf(other);
    if (same.includes(index)) links.each.push(at);
    if (other.feed.kind === 'spread' && other.feed.from === index) links.spread.push(at);
    if (other.feed.kind === 'fold' && other.feed.from === index) links.folds.push(at);
    const waits = (other.args ?? []).some((arg) => arg.take !== 'same' && arg.stage === index) || (other.after ?? []).includes(index);
    if (waits) links.gates.push(at);
  });
  links.same = sameOf(specs[index]!);
  return links;
}

/** The stages whose result of the same index a task needs; the stage that it mirrors is one of them. */
function sameOf(spec: StageSpec): number[] {
  const same = new Set<number>();
  if (spec.feed.kind === 'each') same.add(spec.feed.from);
  for (const arg of spec.args ?? []) if (arg.take === 'same') same.add(arg.stage);
  return [...same];
}
