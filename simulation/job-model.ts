/** What the checker knows of a job: tasks by index, as the facts have left them. */
import type { JobOutcome, RegistryFact } from '../src/core/facts.ts';
import type { JobSpec } from '../src/core/spec.ts';
import { reached } from './probes.ts';
import type { Value } from './values.ts';
import { check } from './violation.ts';

export type Final = 'done' | 'dead' | 'skipped' | 'cancelled' | 'expired';

export interface TaskModel {
  attempt: number;
  final: Final | undefined;
  failures: number;
  crashes: number;
  notBeforeWallMs: number;
  /** Undefined while not done, or where it went into a partial. */
  value: Value | undefined;
  values: Value[];
  /** Log position of the fact that made it final. */
  position: number;
  /** The first time in this attempt. */
  startedPosition: number;
  startedAttempt: number;
  startedTerm: number;
  lost: number;
  /** When its job ended, something that it needs could never be there any more: a leader may have skipped it before. */
  wasLost: boolean;
  /** A person has done with it. */
  isPurged: boolean;
}

export interface StageModel {
  added: number;
  addedPosition: number;
  isSealed: boolean;
  tasks: TaskModel[];
  /** What each input brings along; a fold's own tasks are not predicted. */
  atoms: (readonly number[] | undefined)[];
  addedWallMs: number[];
}

export interface JobModel {
  id: string;
  spec: JobSpec;
  writer: string;
  digest: string;
  openedWallMs: number;
  submission: string | undefined;
  position: number;
  outcome: JobOutcome | undefined;
  outcomePosition: number;
  isSealed: boolean;
  isDropped: boolean;
  /** Log position of `job-dropped`. */
  droppedPosition: number;
  stages: StageModel[];
  replays: number;
}

export function newTask(): TaskModel {
  return {
    attempt: 1,
    final: undefined,
    failures: 0,
    crashes: 0,
    notBeforeWallMs: 0,
    value: undefined,
    values: [],
    position: 0,
    startedPosition: -1,
    startedAttempt: 0,
    startedTerm: 0,
    lost: 0,
    wasLost: false,
    isPurged: false,
  };
}

export function newJob(fact: Extract<RegistryFact, { fact: 'job-opened' }>, writer: string, position: number): JobModel {
  return {
    id: fact.job,
    spec: fact.spec,
    writer,
    digest: fact.digest,
    openedWallMs: fact.wallMs,
    submission: fact.submission,
    position,
    outcome: undefined,
    outcomePosition: 0,
    isSealed: false,
    isDropped: false,
    droppedPosition: 0,
    stages: fact.spec.stages.map(() => ({ added: 0, addedPosition: 0, isSealed: false, tasks: [], atoms: [], addedWallMs: [] })),
    replays: 0,
  };
}

/** It was submitted again with another program. */
export function changeCode(job: JobModel | undefined, { job: id, definitions }: Extract<RegistryFact, { fact: 'code-changed' }>): void {
  check(job !== undefined && !job.isDropped, 'I2', () => `${id} gets other code, but is not there`);
  definitions.forEach((definition, at) => {
    if (!definition) return;
    const spec = job!.spec.stages[at]!;
    check(spec.definition?.name === definition.name, 'I10', () => `${id}/${at} runs ${definition.name}, and was ${spec.definition?.name}`);
    spec.definition = definition;
  });
  reached('a job gets other code under its key');
}
