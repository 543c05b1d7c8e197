/**
 * Why work waits, and what can be done about it. The one truth for the line in a job's view, for `explain`, and for the
 * problems of the cluster.
 *
 * 1. Costs a look at the stages of the job and at the workers, and a bounded look at other jobs; never at tasks.
 */

import { adviceFor } from '../lib/advice.ts';
import type { ErrorRecord } from '../lib/error-record.ts';
import type { Reason } from './answers.ts';
import { lacksProgram } from './bundles.ts';
import { TaskState } from './columns.ts';
import { canRun, hasCode, servesQueue } from './placement.ts';
import { jobsOf } from './rings.ts';
import type { Job, Stage, State, Worker } from './state.ts';

export interface Cause {
  /** stuck: no worker that is there could ever run it. busy: it gets its turn. The others are named after what they wait for. */
  kind: 'resting' | 'start' | 'full' | 'paused' | 'stuck' | 'busy' | 'backoff' | 'inputs';
  reason: Reason;
}

const namesMax = 3;
/** Other jobs, and assignments of workers, that are looked at to find out who goes first. */
const looksMax = 50;

/** Why nothing of an open job runs; undefined when something does, or nothing is there to run. */
export function whyJobWaits(state: State, job: Job): Cause | undefined {
  if (job.stages.some(({ counts }) => counts[TaskState.running]! > 0)) return undefined;
  const held = whyJobRests(job);
  if (held) return held;
  const ready = job.stages.filter(({ counts }) => counts[TaskState.ready]! > 0);
  for (const stage of ready) {
    const cause = whyNobodyStarts(state, job, stage);
    if (cause) return cause;
  }
  if (ready[0]) return whoGoesFirst(state, job, ready[0]);
  if (job.stages.some(({ counts }) => counts[TaskState.delayed]! > 0)) {
    const reason = { what: 'waiting for the next attempt of tasks that failed', try: `shoal tasks list ${job.id} --state delayed` };
    return { kind: 'backoff', reason };
  }
  return job.stages.some(waitsForInputs) ? { kind: 'inputs', reason: whyNoInputs(job) } : undefined;
}

/** Why the ready tasks of one stage do not start, whatever else the job has running. */
export function whyStageWaits(state: State, job: Job, stage: Stage): Cause {
  return whyJobRests(job) ?? whyNobodyStarts(state, job, stage) ?? whoGoesFirst(state, job, stage);
}

/** What holds back a whole job. */
export function whyJobRests(job: Job): Cause | undefined {
  if (job.isResting) {
    const reason = { what: 'nobody has asked for it since the journal was opened', try: 'run its program again' };
    return { kind: 'resting', reason };
  }
  if (job.notBeforeMs === 0) return undefined;
  return { kind: 'start', reason: { what: 'delayed: its start time has not come' } };
}

export function waitsForInputs({ sealed, spec }: Stage): boolean {
  return !sealed && spec.feed.kind === 'inputs';
}

export function whyNoInputs({ feeders, id, spec }: Job): Reason {
  if (feeders.size > 0) return { what: 'waiting for inputs' };
  return {
    what: 'waiting for inputs, and the program that sends them is not connected',
    // Without a key it would be another job, and nobody else knows how far this one's inputs have come.
    try: spec.key === undefined ? `shoal jobs cancel ${id}` : `run that program again, or: shoal jobs cancel ${id}`,
  };
}

/** Why the ready tasks of a stage go to nobody, however idle the workers are; undefined when somebody may take them. */
export function whyNobodyStarts(state: State, job: Job, stage: Stage): Cause | undefined {
  const { queue } = stage.spec;
  if (state.full) {
    return { kind: 'full', reason: { what: 'the journal has no room left', try: 'free some space on its disk; it goes on by itself' } };
  }
  if (state.pausedQueues.has(queue)) {
    return { kind: 'paused', reason: { what: `the queue "${queue}" is paused`, try: `shoal queues resume ${queue}` } };
  }
  if (lacksProgram(state, stage)) {
    const name = stage.spec.definition?.name ?? job.spec.name;
    const reason = { what: `the program of "${name}" is not stored: its upload was cut off`, try: 'submit the program again' };
    return { kind: 'stuck', reason };
  }
  if (state.workers.some((worker) => canRun(worker, stage))) return undefined;
  return { kind: 'stuck', reason: whyNoWorker(state, job, stage) };
}

function whyNoWorker(state: State, job: Job, stage: Stage): Reason {
  const { queue } = stage.spec;
  const live = state.workers.filter(({ status }) => status === 'live');
  if (live.length === 0) return nobodyThere(state, stage);
  const inQueue = live.filter((worker) => servesQueue(worker, queue));
  if (inQueue.length === 0) {
    return { what: `no worker serves the queue "${queue}"`, try: `start one that does: ${startFor(stage)} --queues ${queue}` };
  }
  const withCode = inQueue.filter((worker) => !worker.refused.has(stage) && hasCode(worker, stage));
  return withCode.length === 0 ? noCode(inQueue, job, stage) : noResources(withCode, stage);
}

/** A worker that is told neither does not start: it would have nothing to run. */
function startFor({ spec: { definition } }: Stage): string {
  return `shoal worker --address URL ${definition && definition.bundle === undefined ? '--tasks FILE' : '--allow-bundles'}`;
}

function nobodyThere({ workers }: State, stage: Stage): Reason {
  const advice = `start one: ${startFor(stage)}`;
  const count = (status: Worker['status']): number => workers.filter((worker) => worker.status === status).length;
  const draining = count('draining');
  const silent = count('silent');
  if (draining + silent === 0) return { what: 'there is no worker', try: advice };
  const others = [draining > 0 && `${draining} draining`, silent > 0 && `${silent} not heard of since the coordinator began`].filter(
    Boolean,
  );
  return { what: `there is no worker that takes work: ${others.join(', ')}`, try: advice };
}

function noCode(workers: readonly Worker[], job: Job, stage: Stage): Reason {
  const { definition } = stage.spec;
  const name = definition?.name ?? '';
  if (definition?.bundle === undefined) {
    // `shoal run` makes such keys: the job was left in a journal that a coordinator has now.
    const isOfRun = job.spec.key?.startsWith('run:') === true;
    const others = isOfRun
      ? `\nor, as it was begun by shoal run: stop the coordinator and run it again, or shoal jobs cancel ${job.id}`
      : '';
    return { what: `no worker has the code of "${name}"`, try: `start one that has it: ${startFor(stage)}${others}` };
  }
  if (!workers.some(({ code }) => code?.kind === 'named' && code.bundles)) {
    const advice = `start one that does: ${startFor(stage)}`;
    return { what: `no worker accepts bundles, so none has the code of "${name}"`, try: advice };
  }
  const what = `no worker could load the code of "${name}" from its bundle`;
  const refusal = workers.map(({ refused }) => refused.get(stage)).find((error) => error !== undefined);
  if (!refusal) return { what, try: 'look into the log of a worker: shoal workers list' };
  let { message } = refusal;
  for (let at: ErrorRecord | undefined = refusal; at; at = at.cause) message = at.message;
  return {
    what: `${what}: ${message.split('\n', 1)[0]}`,
    try: `${adviceFor(refusal) ?? 'mend what keeps it from being loaded'}; submit the program again, and: shoal jobs cancel ${job.id}`,
  };
}

/** Names what nobody has enough of; where each is to be had, but not all in one place, all of them. */
function noResources(workers: readonly Worker[], stage: Stage): Reason {
  const bestOf = (name: string): number => Math.max(0, ...workers.map((worker) => worker.resources[name] ?? 0));
  const wanted = Object.entries(stage.spec.resources);
  const lacking = wanted.filter(([name, amount]) => bestOf(name) < amount && name !== 'cpu' && name !== 'memory');
  const told = lacking.length > 0 ? lacking : wanted;
  const amounts = told.map(([name, amount]) => `${amount} ${name} (the best worker has ${bestOf(name)})`);
  const advice = told.map(([name, amount]) => `--resource ${name}:${amount}`);
  return {
    what: `${lacking.length > 0 ? 'no worker has' : 'no single worker has all of'} ${amounts.join(', ')}`,
    try: `start one that has: ${startFor(stage)} ${advice.join(' ')}`,
  };
}

/** Somebody may take it, and has other work now: more urgent jobs, other jobs, or more of the same. */
function whoGoesFirst(state: State, job: Job, stage: Stage): Cause {
  const workers = state.workers.filter((worker) => canRun(worker, stage));
  const urgent = moreUrgent(state, job, workers);
  if (urgent.length > 0) {
    const what = `jobs of higher priority go first: ${namesOf(urgent)}`;
    return { kind: 'busy', reason: { what, try: 'start more workers, or wait' } };
  }
  const { others, isOwn } = holders(state, job, workers);
  if (others.length > 0) {
    const what = `all workers that may run it are busy with other jobs: ${namesOf(others)}`;
    return { kind: 'busy', reason: { what, try: 'start more workers, or wait' } };
  }
  return {
    kind: 'busy',
    reason: {
      what: isOwn
        ? 'its workers are busy with other tasks of its job'
        : 'it is about to be handed out, once a worker that may run it is heard of',
    },
  };
}

/** Those with tasks that the same workers could take. Rings are in order of priority. */
function moreUrgent(state: State, job: Job, workers: readonly Worker[]): Job[] {
  const found: Job[] = [];
  let looks = 0;
  for (const ring of state.rings) {
    if (ring.priority <= job.spec.priority) break;
    for (const other of jobsOf(ring)) {
      if (found.length > namesMax || looks++ === looksMax) return found;
      if (other.stages.some((stage) => couldTake(state, stage, workers))) found.push(other);
    }
  }
  return found;
}

function couldTake(state: State, stage: Stage, workers: readonly Worker[]): boolean {
  if (stage.counts[TaskState.ready] === 0 || state.pausedQueues.has(stage.spec.queue)) return false;
  return workers.some((worker) => canRun(worker, stage));
}

/** Whose tasks the workers have now. */
function holders(state: State, job: Job, workers: readonly Worker[]): { others: Job[]; isOwn: boolean } {
  const others = new Set<Job>();
  let isOwn = false;
  let looks = 0;
  for (const { held } of workers) {
    for (const handle of held) {
      if (others.size > namesMax || looks++ === looksMax) return { others: [...others], isOwn };
      const holder = state.assignments.get(handle)!.job;
      if (holder === job) isOwn = true;
      else others.add(holder);
    }
  }
  return { others: [...others], isOwn };
}

function namesOf(jobs: readonly Job[]): string {
  const names = jobs.slice(0, namesMax).map(({ spec, id }) => `${spec.name} (${id})`);
  return [...names, ...(jobs.length > namesMax ? ['…'] : [])].join(', ');
}
