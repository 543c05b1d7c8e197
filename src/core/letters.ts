/**
 * Dead letters: tasks whose tries are used up, kept for a person, who replays them (replay.ts) or purges them here.
 *
 * 1. A purged letter is neither listed nor counted nor replayed; its row stays dead.
 * 2. `onFailure: 'drop'` leaves no letters.
 */
import { TaskState } from './columns.ts';
import type { DeadLetter } from './messages.ts';
import { RangeList } from './ranges.ts';
import type { Job, Stage, State } from './state.ts';
import { storyKey } from './state.ts';
import type { Turn } from './turn.ts';
import { failureOf } from './view.ts';

export interface LetterFilter {
  stage?: number;
  index?: number;
}

/** Of these jobs, oldest job first, at most `limit`. */
export function listDeadLetters(jobs: Iterable<Job>, limit: number): DeadLetter[] {
  const letters: DeadLetter[] = [];
  for (const job of jobs) {
    if (job.dropping) continue;
    for (const stage of job.stages) {
      for (const index of lettersOf(job, stage)) {
        if (letters.length >= limit) return letters;
        letters.push(deadLetter(job, stage, index));
      }
    }
  }
  return letters;
}

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
function* lettersOf(job: Job, stage: Stage): Generator<number> {
  let left = letterCount(stage);
  for (let index = 0; left > 0 && index < stage.columns.length; index++) {
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
