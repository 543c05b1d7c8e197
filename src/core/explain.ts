/** Why a job or a task waits, where it runs, or how it ended; and what can be done about it. */

import type { Explanation, Reason } from './answers.ts';
import { TaskState } from './columns.ts';
import { isPurged, letterCountOf } from './letters.ts';
import { taskStateNames } from './listing.ts';
import { type Job, type Stage, type State, type Story, storyKey } from './state.ts';
import { failureOf, stateOf } from './view.ts';
import { waitsForInputs, whyJobRests, whyJobWaits, whyNobodyStarts, whyNoInputs, whyStageWaits } from './waiting.ts';

interface Moment {
  nowMs: number;
  wallMs: number;
}

/** Stories and workers that are looked at for one sentence. */
const looksMax = 1_000;
const namesMax = 3;

export function explainJob(state: State, job: Job, at: Moment): Explanation {
  const reasons = job.outcome === undefined ? openReasons(state, job, at) : endReasons(job);
  return { subject: job.spec.name, job: job.id, state: stateOf(job), summary: jobSummary(job, reasons), reasons };
}

function jobSummary({ spec: { name }, outcome, stages }: Job, [first]: readonly Reason[]): string {
  if (outcome === 'succeeded') return `${name} has succeeded`;
  if (outcome !== undefined) return `${name} ${ended[outcome]}${first ? `: ${first.what}` : ''}`;
  if (isMoving(stages)) return `${name} is running`;
  return first ? `${name} waits: ${first.what}` : `${name} has nothing to do at the moment`;
}

const ended = { failed: 'has failed', cancelled: 'was cancelled', expired: 'has expired' } as const;

function isMoving(stages: readonly Stage[]): boolean {
  return stages.some(({ counts }) => counts[TaskState.running]! > 0);
}

// ---- of a job that is over ----

function endReasons(job: Job): Reason[] {
  const reasons: Reason[] = [];
  if (job.outcome === 'cancelled') reasons.push({ what: job.reason ?? 'a client asked for it', try: `shoal jobs replay ${job.id}` });
  else if (job.outcome !== 'succeeded') {
    if (job.failure) reasons.push(failureReason(job, job.stages[job.failure.stage]!, job.failure.index));
    if (job.reason !== undefined) reasons.push({ what: job.reason, try: `shoal jobs replay ${job.id}` });
  }
  const letters = letterCountOf(job);
  if (letters > 0) {
    const advice = `shoal dlq list ${job.id}\nshoal dlq replay ${job.id}`;
    reasons.push({ what: letters === 1 ? 'it has 1 dead letter' : `it has ${letters} dead letters`, try: advice });
  }
  return reasons;
}

function failureReason(job: Job, stage: Stage, index: number): Reason {
  const { task, error, attempts, worker, code } = failureOf(job, stage, index);
  const get = `shoal tasks get ${job.id}/${stage.index}/${index}`;
  if (stage.columns.state(index) === TaskState.expired) return { what: `${task}[${index}] ${error.message} (${code})`, try: get };
  const tries = `${attempts} ${attempts === 1 ? 'attempt' : 'attempts'}`;
  const where = worker === '' ? '' : `, last on ${worker}`;
  return { what: `${task}[${index}] failed for good after ${tries}${where}: ${error.message} (${code})`, try: get };
}

// ---- of a job that is open ----

/** First why nothing of it runs, or what does; then how each stage stands. */
function openReasons(state: State, job: Job, at: Moment): Reason[] {
  const first = whyJobWaits(state, job)?.reason;
  const reasons = first ? [first] : [];
  const rests = whyJobRests(job);
  if (rests?.kind === 'start') reasons.push(whenItStarts(job, at));
  if (rests) return reasons;
  for (const stage of job.stages) reasons.push(...runningOf(state, job, stage));
  for (const stage of job.stages) reasons.push(...waitingOf(state, job, stage));
  const due = nextRetry(job, at);
  if (due) reasons.push(due);
  if (job.stages.some(waitsForInputs)) reasons.push(whyNoInputs(job));
  return reasons.filter(({ what }, i) => what !== first?.what || i === 0);
}

function whenItStarts({ notBeforeMs, id }: Job, { nowMs }: Moment): Reason {
  return { what: `it starts in ${seconds(notBeforeMs - nowMs)}`, try: `not wanted any more: shoal jobs cancel ${id}` };
}

function runningOf(state: State, job: Job, stage: Stage): Reason[] {
  const running = stage.counts[TaskState.running]!;
  if (running === 0) return [];
  const workers = new Set<string>();
  let looks = 0;
  for (const { name, held } of state.workers) {
    for (const handle of held) {
      const assignment = state.assignments.get(handle)!;
      if (assignment.job === job && assignment.stage === stage) workers.add(name);
      if (++looks === looksMax || workers.has(name)) break;
    }
    if (workers.size > namesMax || looks >= looksMax) break;
  }
  const names = [...workers].slice(0, namesMax).join(', ');
  const where = workers.size === 0 ? 'workers' : `${names}${workers.size > namesMax ? ' …' : ''}`;
  const what = `${running} of ${nameOf(job, stage.index)} ${running === 1 ? 'is' : 'are'} with ${where}`;
  return [{ what, try: `shoal tasks list ${job.id} --state running` }];
}

/** What of a stage does not run although it could, or waits for other stages. That workers are busy goes without saying. */
function waitingOf(state: State, job: Job, stage: Stage): Reason[] {
  const { counts } = stage;
  if (counts[TaskState.ready]! > 0) {
    const cause = whyNobodyStarts(state, job, stage);
    if (!cause) return [];
    return isMoving(job.stages) ? [{ ...cause.reason, what: `${nameOf(job, stage.index)}: ${cause.reason.what}` }] : [cause.reason];
  }
  if (counts[TaskState.waiting] === 0 || stage.gatesLeft === 0) return [];
  return gatesOf(job, stage).map((what) => ({ what: `${nameOf(job, stage.index)} ${what}` }));
}

/** When the first of the tasks that failed is tried again; says nothing where there are too many to look at. */
function nextRetry(job: Job, { wallMs }: Moment): Reason | undefined {
  const delayed = job.stages.reduce((sum, { counts }) => sum + counts[TaskState.delayed]!, 0);
  if (delayed === 0) return undefined;
  const what = delayed === 1 ? '1 task waits for its next attempt' : `${delayed} tasks wait for their next attempt`;
  const advice = `shoal tasks list ${job.id} --state delayed`;
  if (job.stories.size > looksMax) return { what, try: advice };
  let dueWallMs = Number.POSITIVE_INFINITY;
  for (const { notBeforeWallMs } of job.stories.values()) {
    if (notBeforeWallMs !== undefined && notBeforeWallMs > wallMs) dueWallMs = Math.min(dueWallMs, notBeforeWallMs);
  }
  return { what: Number.isFinite(dueWallMs) ? `${what}, the first in ${seconds(dueWallMs - wallMs)}` : what, try: advice };
}

// ---- of one task ----

export function explainTask(state: State, job: Job, stage: Stage, index: number, at: Moment): Explanation {
  const name = `${nameOf(job, stage.index)}[${index}]`;
  const taskState = taskStateNames[stage.columns.state(index)]!;
  const reasons = taskReasons(state, job, stage, index, at);
  const summary = `${name} is ${taskState}${reasons[0] ? `: ${reasons[0].what}` : ''}`;
  return { subject: name, job: job.id, state: taskState, summary, reasons };
}

function taskReasons(state: State, job: Job, stage: Stage, index: number, at: Moment): Reason[] {
  switch (stage.columns.state(index)) {
    case TaskState.waiting:
      return whatItNeeds(job, stage, index);
    case TaskState.ready:
      return whyReady(state, job, stage, index);
    case TaskState.running:
      return [whereItRuns(state, stage, index, at), ...lastFailure(job, stage, index)];
    case TaskState.delayed:
      return whyDelayed(job, stage, index, at);
    case TaskState.done:
      return [whoDidIt(state, stage, index)];
    case TaskState.dead:
    case TaskState.expired:
      return whyDead(job, stage, index);
    case TaskState.skipped:
      return whySkipped(job, stage, index);
    default:
      return [{ what: job.reason ?? 'its job was cancelled', try: `shoal jobs replay ${job.id}` }];
  }
}

function whatItNeeds(job: Job, stage: Stage, index: number): Reason[] {
  const rests = whyJobRests(job);
  const reasons: Reason[] = [];
  for (const source of stage.links.same) {
    const { columns } = job.stages[source]!;
    const sourceState = index < columns.length ? columns.state(index) : TaskState.waiting;
    if (sourceState === TaskState.done) continue;
    const what = `it needs the result of ${nameOf(job, source)}[${index}], which is ${taskStateNames[sourceState]}`;
    reasons.push({ what, try: `shoal explain ${job.id}/${source}/${index}` });
  }
  if (stage.gatesLeft > 0) reasons.push(...gatesOf(job, stage).map((what) => ({ what: `it ${what}` })));
  if (reasons.length === 0) reasons.push({ what: 'its inputs are not there yet' });
  return rests ? [rests.reason, ...reasons] : reasons;
}

/** The stages that one waits for as a whole, and how far they are. */
function gatesOf(job: Job, stage: Stage): string[] {
  return job.stages
    .filter((other) => !other.ended && other.links.gates.includes(stage.index))
    .map(({ index, counts, columns, sealed, fold }) => {
      if (fold) return `waits for the one result of ${nameOf(job, index)}`;
      const total = sealed ? `${columns.length}` : `${columns.length} so far`;
      return `waits for all of ${nameOf(job, index)}: ${counts[TaskState.done]} of ${total} are done`;
    });
}

function whyReady(state: State, job: Job, stage: Stage, index: number): Reason[] {
  const reasons = [whyStageWaits(state, job, stage).reason];
  const others = stage.counts[TaskState.ready]! - 1;
  if (others > 0) {
    const what = others === 1 ? '1 other task of its stage is ready as well' : `${others} other tasks of its stage are ready as well`;
    reasons.push({ what });
  }
  const lost = stage.columns.suspicion(index);
  if (lost > 0) {
    const times = lost === 1 ? 'once' : `${lost} times`;
    reasons.push({ what: `its worker was lost ${times} while it may have run: it is tried with ever fewer others beside it` });
  }
  return [...reasons, ...lastFailure(job, stage, index)];
}

function whereItRuns(state: State, { columns }: Stage, index: number, { nowMs }: Moment): Reason {
  const worker = state.workersByIndex.get(columns.holder(index))?.name ?? 'a worker';
  const assignment = state.assignments.get(columns.serial(index));
  const since = assignment
    ? `, handed over ${seconds(nowMs - assignment.sentMs)} ago`
    : ' since before this coordinator began; word of it is waited for';
  return { what: `attempt ${columns.attempt(index)} is with ${worker}${since}`, try: `shoal workers get ${worker}` };
}

function whyDelayed(job: Job, stage: Stage, index: number, { wallMs }: Moment): Reason[] {
  const { notBeforeWallMs = wallMs } = storyOf(job, stage, index) ?? {};
  const what = `attempt ${stage.columns.attempt(index)} starts in ${seconds(notBeforeWallMs - wallMs)}`;
  const [failure] = lastFailure(job, stage, index);
  return [{ what: failure ? `${what}; ${failure.what}` : what, try: `shoal tasks get ${job.id}/${stage.index}/${index}` }];
}

function lastFailure(job: Job, stage: Stage, index: number): Reason[] {
  const last = storyOf(job, stage, index)?.history.at(-1);
  return last ? [{ what: `the last one ${last.how} on ${last.worker}: ${last.error.message}` }] : [];
}

function whoDidIt(state: State, { columns, spec }: Stage, index: number): Reason {
  if (!spec.definition) return { what: 'it is an input, nothing has to run' };
  const worker = state.workersByIndex.get(columns.holder(index))?.name ?? 'a worker';
  return { what: `attempt ${columns.attempt(index)} gave its result on ${worker} after ${seconds(columns.durationUs(index) / 1000)}` };
}

function whyDead(job: Job, stage: Stage, index: number): Reason[] {
  const reasons = [failureReason(job, stage, index)];
  const history = storyOf(job, stage, index)?.history ?? [];
  for (const { attempt, worker, how, error } of history.slice(-namesMax)) {
    reasons.push({ what: `attempt ${attempt} ${how} on ${worker}: ${error.message}` });
  }
  if (isPurged(job, stage, index)) reasons.push({ what: 'it was purged: it is not replayed any more' });
  else reasons.push({ what: 'it can be tried again', try: `shoal dlq replay ${job.id}/${stage.index}/${index}` });
  return reasons;
}

/** What it needed and will not have; else what ended its job. */
function whySkipped(job: Job, stage: Stage, index: number): Reason[] {
  const lost = stage.links.same.find(
    (at) => index < job.stages[at]!.columns.length && job.stages[at]!.columns.state(index) > TaskState.done,
  );
  if (lost !== undefined) {
    const how = taskStateNames[job.stages[lost]!.columns.state(index)];
    return [
      { what: `it needs the result of ${nameOf(job, lost)}[${index}], which is ${how}`, try: `shoal explain ${job.id}/${lost}/${index}` },
    ];
  }
  if (job.outcome !== 'succeeded' && job.failure) return [failureReason(job, job.stages[job.failure.stage]!, job.failure.index)];
  return [{ what: job.reason ?? 'its job has ended without it', try: `shoal explain ${job.id}` }];
}

function storyOf(job: Job, stage: Stage, index: number): Story | undefined {
  return job.stories.get(storyKey(stage.index, index));
}

function nameOf(job: Job, stage: number): string {
  return job.stages[stage]!.spec.definition?.name ?? `stage ${stage}`;
}

function seconds(ms: number): string {
  return ms < 10_000 ? `${(Math.max(0, ms) / 1000).toFixed(1)} s` : `${Math.round(ms / 1000)} s`;
}
