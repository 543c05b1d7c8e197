/**
 * Dead letters: tasks whose tries are used up, kept for a person, who replays them (replay.ts) or purges them here.
 *
 * 1. A purged letter is neither listed nor counted nor replayed; its row stays dead.
 * 2. `onFailure: 'drop'` leaves no letters.
 */
import type { DeadLetter, LetterPage } from './answers.ts';
import { TaskState } from './columns.ts';
import { letterPageBytesMax } from './limits.ts';
import { RangeList } from './ranges.ts';
import type { Job, Stage, State } from './state.ts';
import { storyKey } from './state.ts';
import type { Turn } from './turn.ts';
import { failureOf } from './view.ts';

export interface LetterFilter {
  stage?: number;
  index?: number;
}

/** A page goes on behind this one. */
export interface LetterPlace {
  job: string;
  stage: number;
  index: number;
}

/** `JOB/STAGE/INDEX` as a page gave it; undefined if it is no such thing. */
export function letterPlaceOf(after: string): LetterPlace | undefined {
  const [, job, stage, index] = /^([^/]{1,64})\/(\d{1,9})\/(\d{1,10})$/.exec(after) ?? [];
  return job === undefined ? undefined : { job, stage: Number(stage), index: Number(index) };
}

/**
 * Of these jobs in order of (job, stage, index), oldest job first: at most `limit`, and fewer where their stories are long. A page
 * looks at its own letters, at the tasks between them, and once at each job.
 */
export function listDeadLetters(jobs: Iterable<Job>, limit: number, after?: LetterPlace): LetterPage {
  const letters: DeadLetter[] = [];
  let bytes = 0;
  const isBehind = ({ id }: Job): boolean => after === undefined || id >= after.job;
  const withLetters = [...jobs].filter((job) => !job.dropping && isBehind(job) && letterCountOf(job) > 0);
  for (const job of withLetters.sort((a, b) => (a.id < b.id ? -1 : 1))) {
    const place = after?.job === job.id ? after : { stage: 0, index: -1 };
    for (const stage of job.stages.slice(place.stage)) {
      for (const index of lettersOf(job, stage, stage.index === place.stage ? place.index + 1 : 0)) {
        const last = letters.at(-1);
        if (last && (letters.length >= limit || bytes >= letterPageBytesMax)) {
          return { letters, next: `${last.job}/${last.stage}/${last.index}` };
        }
        const letter = deadLetter(job, stage, index);
        letters.push(letter);
        for (const { error } of letter.history) bytes += historyBytes + error.message.length + (error.stack?.length ?? 0);
      }
    }
  }
  return { letters };
}

/** Of an attempt beside what its error says. */
const historyBytes = 200;

/** How many a stage has; costs nothing. */
function letterCount(stage: Stage): number {
  return stage.spec.onFailure === 'drop' ? 0 : stage.counts[TaskState.dead]! - stage.purged;
}

export function letterCountOf(job: Job): number {
  return job.stages.reduce((sum, stage) => sum + letterCount(stage), 0);
}

/** Returns how many were there to purge. */
export function purgeLetters(state: State, job: Job, filter: LetterFilter, turn: Turn): number {
  let purged = 0;
  for (const stage of job.stages) {
    if (filter.stage !== undefined && filter.stage !== stage.index) continue;
    const list = new RangeList();
    if (filter.index === undefined) for (const index of lettersOf(job, stage)) list.add(index);
    else if (isLetter(job, stage, filter.index)) list.add(filter.index);
    if (list.count === 0) continue;
    purged += list.count;
    turn.jobFact(state, job, { fact: 'letters-purged', stage: stage.index, ranges: list.take() });
  }
  return purged;
}

export function isPurged(job: Job, stage: Stage, index: number): boolean {
  return stage.purged > 0 && job.stories.get(storyKey(stage.index, index))?.isPurged === true;
}

/** Looks no further than the last one. */
function* lettersOf(job: Job, stage: Stage, from = 0): Generator<number> {
  let left = letterCount(stage);
  for (let index = from; left > 0 && index < stage.columns.length; index++) {
    if (stage.columns.state(index) !== TaskState.dead || isPurged(job, stage, index)) continue;
    left--;
    yield index;
  }
}

function isLetter(job: Job, stage: Stage, index: number): boolean {
  if (letterCount(stage) === 0 || index >= stage.columns.length) return false;
  return stage.columns.state(index) === TaskState.dead && !isPurged(job, stage, index);
}

function deadLetter(job: Job, stage: Stage, index: number): DeadLetter {
  return {
    ...failureOf(job, stage, index),
    job: job.id,
    label: `${stage.spec.definition?.name ?? job.spec.name}[${index}]`,
    history: job.stories.get(storyKey(stage.index, index))?.history ?? [],
  };
}
