/**
 * What is journaled. State is a fold over these and nothing else that matters is kept anywhere: readiness,
 * counters, the shape of fold trees and fair shares follow from them and are never written down.
 * Facts are plain JSON with Uint32Array columns; `offset` counts in the body of the entry that holds the fact.
 */
import type { ErrorRecord, Ranges } from './messages.ts';
import type { DefinitionRef, JobSpec } from './spec.ts';

export type JobChange = 'cancelled' | 'replayed' | 'purged';

/** What people have changed about a job or a queue. */
export interface Changes {
  /** Their number. */
  version: number;
  /** The newest of them, oldest first. */
  last: Change[];
}

export interface Change {
  /** By it. */
  version: number;
  what: JobChange | 'paused' | 'resumed';
  count: number;
  /** As its client calls it. */
  name?: string;
  wallMs: number;
}

export type RegistryFact =
  /** A leadership begins. On a job's stream: from here on this term alone writes. */
  | { fact: 'term'; term: number; writer: string; wallMs: number }
  | { fact: 'lease'; term: number }
  | { fact: 'job-opened'; job: string; digest: string; spec: JobSpec; submission?: string; wallMs: number }
  /** It was submitted again under its key: its tasks are these definitions from here on, by stage; null: as before. */
  | { fact: 'code-changed'; job: string; definitions: (DefinitionRef | null)[] }
  /** `logs`: the last generation of what its tasks printed, if they did. */
  | { fact: 'job-dropped'; job: string; logs?: number }
  /** `index` stands for the worker in tasks-started and tasks-done. */
  | { fact: 'worker-joined'; worker: string; incarnation: string; index: number /** Incarnations before it. */; past?: string[] }
  | { fact: 'worker-left'; worker: string; incarnation: string; why: string }
  /** Its index may be given again. */
  | { fact: 'worker-forgotten'; index: number }
  /** A change of the queue; where the registry has rolled, with all that is kept of its changes. */
  | { fact: 'queue-set'; queue: string; paused: boolean; change?: string; wallMs?: number; changes?: Changes }
  /** Its bytes are the body of the one entry of `stream`; they may be missing if the leader died right then. */
  | {
      fact: 'bundle-added';
      hash: string;
      name: string;
      stream: string;
      bytes: number;
      wallMs: number;
      /** Where the registry has rolled: jobs that ran it before their code changed. */
      jobs?: string[];
    }
  | { fact: 'bundle-dropped'; hash: string }
  /** In the bundle's own stream: the body of this entry is it. */
  | { fact: 'bundle-stored'; hash: string }
  /** The last fact of a registry stream: go on in `next`, whose first `entries` say all that is still true (roll.ts). */
  | { fact: 'stream-rolled'; next: string; generation: number; entries: number }
  /** It is dropped, and its space may still be taken. */
  | { fact: 'stream-orphaned'; stream: string };

export type JobOutcome = 'succeeded' | 'failed' | 'cancelled' | 'expired';

/** Each has a `wallMs` where a stage that others feed has a ttl: it counts from there. */
export type JobFact =
  | { fact: 'term'; term: number; writer: string; wallMs: number }
  | {
      fact: 'inputs-added';
      stage: number;
      from: number;
      lengths: Uint32Array;
      offset: number;
      wallMs: number;
      digest?: string;
      mark?: number;
    }
  | { fact: 'inputs-sealed'; stage: number; total: number }
  /** A hint: may have been started by that worker. */
  | { fact: 'tasks-started'; stage: number; ranges: Ranges; worker: number }
  | {
      fact: 'tasks-done';
      stage: number;
      worker: number;
      ranges: Ranges;
      lengths: Uint32Array;
      /** Frames a task, where the results are spread. */
      counts?: Uint32Array;
      durations: Uint32Array;
      offset: number;
    }
  /** `ranges` of the stage that feeds `fold` are done, combined into one value. */
  | {
      fact: 'partial-done';
      stage: number;
      fold: number;
      worker: number;
      ranges: Ranges;
      durations: Uint32Array;
      offset: number;
      length: number;
    }
  /** The attempt is closed; the next one may start at `notBeforeWallMs`. */
  | {
      fact: 'task-failed';
      stage: number;
      index: number;
      attempt: number;
      worker: number;
      error: ErrorRecord;
      code: string;
      durationUs: number;
      notBeforeWallMs: number;
      wallMs: number;
    }
  | { fact: 'task-crashed'; stage: number; index: number; attempt: number; worker: number; how: string; error: ErrorRecord; wallMs: number }
  /** Their worker was lost: they may have run, and may be why. Not charged; run again in ever smaller groups (rule 7). */
  | { fact: 'tasks-lost'; stage: number; ranges: Ranges; worker: number }
  | { fact: 'task-dead'; stage: number; index: number; code: string; wallMs: number }
  | { fact: 'tasks-expired'; stage: number; ranges: Ranges }
  /** Dead, skipped, cancelled or expired tasks live again, with a new budget; an ended job goes on. */
  | { fact: 'tasks-replayed'; stage: number; ranges: Ranges }
  /** Dead letters that a person has done with: neither listed nor replayed any more. */
  | { fact: 'letters-purged'; stage: number; ranges: Ranges }
  /** A person's change, behind the facts that are its effect. `count`: of tasks or letters. */
  | { fact: 'job-changed'; what: JobChange; count: number; change?: string; wallMs: number }
  /** Everything not final becomes skipped (failed), cancelled or expired. */
  | { fact: 'job-ended'; outcome: JobOutcome; reason?: string; wallMs: number }
  /** What its tasks print is kept from here on in the log stream of this generation, and no longer in that before the last. */
  | { fact: 'logs-begun'; generation: number }
  | { fact: 'stream-sealed' };

/** The head of an entry in a log stream, whose body is `count` lines. Not folded by anyone. */
export interface LinesFact {
  fact: 'lines';
  /** Of the leader that wrote it; they grow along a stream. */
  term: number;
  /** The first line's number among those that this leader heard of the job, from 1. Numbers that are missing were not kept. */
  first: number;
  count: number;
  /** Lines of the leaders before it. */
  earlier: number;
  /** Of the stream's lines up to here. */
  bytes: number;
}

export type Fact = RegistryFact | JobFact;
