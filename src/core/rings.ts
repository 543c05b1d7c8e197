/**
 * Who is next: jobs with ready tasks, by priority, and those of one priority by their tickets. A job draws a new ticket with each
 * batch that it is given, so that their turns are equal.
 *
 * Jobs of a ring stand in lines by what their ready tasks need: all in one line find the same workers willing or not, so that a look
 * at its first is a look at all of them. A turn costs what it hands out and a look a line, however many jobs wait.
 *
 * 1. A job stands in one line, and every ready stage of it is of a kind that the line has, up to the times of its tasks, which
 *    change: those count as orders of magnitude, and whoever stands first and is turned away changes lines if they have.
 * 2. Tickets ascend in each line.
 */
import { Heap } from '../lib/heap.ts';
import { TaskState } from './columns.ts';
import { shortTaskMs } from './limits.ts';
import type { Job, Stage, State } from './state.ts';

export interface Ring {
  priority: number;
  /** By name; none is empty. */
  lines: Map<string, Line>;
}

export interface Line {
  readonly ring: Ring;
  readonly name: string;
  readonly kinds: ReadonlySet<string>;
  first: Place | undefined;
  last: Place | undefined;
}

export interface Place {
  readonly job: Job;
  readonly line: Line;
  readonly ticket: number;
  before: Place | undefined;
  after: Place | undefined;
}

/** A job of more kinds than this has a line of its own. */
const kindsMax = 16;

/** It may have something to hand out. `stage`: of which there was nothing so far. */
export function enring(state: State, job: Job, stage?: Stage): void {
  if (job.outcome !== undefined || job.notBeforeMs > 0 || job.isResting) return;
  if (!job.place) stand(state, job, state.nextTicket++, kindsOf(job));
  else if (stage && !job.place.line.kinds.has(kindOf(stage))) changeLine(state, job);
}

export function leaveRing(state: State, job: Job): void {
  const { place } = job;
  if (!place) return;
  unlink(place);
  tidy(state, place.line);
}

/** It was given a batch: the others are next. */
export function drawTicket(state: State, job: Job): void {
  move(state, job.place!, state.nextTicket++, kindsOf(job));
}

/** Its tasks may need something else than they did. False: they do not. */
export function changeLine(state: State, job: Job): boolean {
  const { place } = job;
  const kinds = kindsOf(job);
  if (!place || nameOf(job, kinds) === place.line.name) return false;
  move(state, place, place.ticket, kinds);
  return true;
}

/** The code of its tasks has changed, or who has it. */
export function changeKind(state: State, job: Job, stage: Stage, kind: string | undefined): void {
  stage.kind = kind;
  if (stage.counts[TaskState.ready]! > 0) changeLine(state, job);
}

/** This worker will not have it: whom it does not suit stands apart from those whom it does. */
export function markRefused(state: State, job: Job, stage: Stage, worker: number): void {
  const mark = ` !${worker}`;
  const kind = (stage.kind ??= needsOf(stage));
  if (!`${kind} `.includes(`${mark} `)) changeKind(state, job, stage, kind + mark);
}

/** The lines of a ring while its jobs are seen to, by whose first one is next: as many as there are cost a look each, and not one a hand-out. */
export class Turns {
  /** One whose first has another ticket by now is passed over. */
  private readonly order = new Heap<{ ticket: number; line: Line }>((a, b) => a.ticket < b.ticket);
  private readonly closed = new Set<Line>();

  constructor({ lines }: Ring) {
    for (const line of lines.values()) this.add(line);
  }

  /** Undefined when all are closed. Its first job moves before the next one is asked for, or the line is closed. */
  next(): Line | undefined {
    for (let next = this.order.pop(); next; next = this.order.pop()) {
      const { line, ticket } = next;
      if (line.first?.ticket === ticket && !this.closed.has(line)) return line;
    }
    return undefined;
  }

  close(line: Line): void {
    this.closed.add(line);
  }

  /** It was the first of the line, and stands elsewhere now, or nowhere. */
  moved({ place }: Job, line: Line): void {
    this.add(line);
    if (place && place.line !== line && place.line.first === place) this.add(place.line);
  }

  private add(line: Line): void {
    if (line.first && !this.closed.has(line)) this.order.push({ ticket: line.first.ticket, line });
  }
}

/** Those of a ring, line by line. */
export function* jobsOf({ lines }: Ring): Generator<Job> {
  for (const { first } of lines.values()) for (let place = first; place; place = place.after) yield place.job;
}

export function hasReady({ outcome, stages }: Job): boolean {
  return outcome === undefined && stages.some(({ counts }) => counts[TaskState.ready]! > 0);
}

/** Stages of one kind find the same workers willing or not. */
export function kindOf(stage: Stage): string {
  const { taskMs } = stage;
  const kind = (stage.kind ??= needsOf(stage));
  return taskMs === undefined ? kind : `${kind} ~${Math.round(Math.log2(taskMs))}${taskMs <= shortTaskMs ? 's' : ''}`;
}

function needsOf({ spec }: Stage): string {
  const { queue, resources, definition, concurrency = 1, chunkSize = 0 } = spec;
  const code = definition?.bundle ?? definition?.name ?? '';
  const needs = Object.entries(resources).map(([name, amount]) => `${name}=${amount}`);
  return `${queue} ${code} ${concurrency} ${chunkSize} ${needs.join()}`;
}

function kindsOf({ stages }: Job): Set<string> {
  const kinds = new Set<string>();
  for (const stage of stages) {
    if (stage.counts[TaskState.ready]! > 0) kinds.add(kindOf(stage));
  }
  return kinds;
}

function nameOf(job: Job, kinds: ReadonlySet<string>): string {
  return kinds.size > kindsMax ? job.id : [...kinds].join('\n');
}

function stand(state: State, job: Job, ticket: number, kinds: ReadonlySet<string>): void {
  const line = lineOf(ringOf(state, job.spec.priority), nameOf(job, kinds), kinds);
  let after: Place | undefined;
  let before = line.last;
  if (before && before.ticket > ticket) {
    // It has waited longer than most others.
    after = line.first;
    while (after && after.ticket < ticket) after = after.after;
    before = after?.before;
  }
  const place: Place = { job, line, ticket, before, after };
  job.place = place;
  if (before) before.after = place;
  else line.first = place;
  if (after) after.before = place;
  else line.last = place;
}

function unlink({ job, line, before, after }: Place): void {
  job.place = undefined;
  if (before) before.after = after;
  else line.first = after;
  if (after) after.before = before;
  else line.last = before;
}

/** The old line goes last: with it went its ring, which whoever schedules holds in hand. */
function move(state: State, place: Place, ticket: number, kinds: ReadonlySet<string>): void {
  unlink(place);
  stand(state, place.job, ticket, kinds);
  tidy(state, place.line);
}

function tidy({ rings }: State, { first, name, ring }: Line): void {
  if (first) return;
  ring.lines.delete(name);
  if (ring.lines.size === 0) rings.splice(rings.indexOf(ring), 1);
}

function lineOf(ring: Ring, name: string, kinds: ReadonlySet<string>): Line {
  let line = ring.lines.get(name);
  if (!line) ring.lines.set(name, (line = { ring, name, kinds, first: undefined, last: undefined }));
  return line;
}

function ringOf({ rings }: State, priority: number): Ring {
  let at = 0;
  while (at < rings.length && rings[at]!.priority > priority) at++;
  const found = rings[at];
  if (found?.priority === priority) return found;
  const ring: Ring = { priority, lines: new Map() };
  rings.splice(at, 0, ring);
  return ring;
}
