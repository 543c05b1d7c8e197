/**
 * One turn: all inputs that arrived since the last commit, and what follows from them. Facts gather into one
 * entry a stream; effects gather apart, in the order of their promise: persist, then send, then tell.
 * The shell appends the entries and only then carries out the effects (rule 1).
 */
import type { Fact, JobFact, RegistryFact } from './facts.ts';
import { applyJobFact, applyRegistryFact } from './fold.ts';
import type { AssignMessage, BundleMessage, DeliverMessage, LogLine, ToClient, ToWorker } from './messages.ts';
import { randomFrom } from './random.ts';
import { advanceRegistry } from './roll.ts';
import type { Job, State } from './state.ts';
import { jobStream } from './state.ts';

export interface Moment {
  /** Monotonic milliseconds: leases, time-outs, delays. */
  nowMs: number;
  /** Wall clock: only what people and other processes see. */
  wallMs: number;
  seed: number;
}

/** Bytes in an entry of the effect's stream; read when the effect is carried out. */
export interface Slice {
  seq: number;
  offset: number;
  length: number;
}

export type Effect =
  | { effect: 'send'; address: string; message: ToWorker }
  | { effect: 'assign'; address: string; stream: string; message: Omit<AssignMessage, 'body'>; slices: Slice[] }
  | { effect: 'sendBundle'; address: string; stream: string; message: Omit<BundleMessage, 'body'>; slices: Slice[] }
  | { effect: 'tell'; session: string; message: ToClient }
  | { effect: 'deliver'; session: string; stream: string; message: Omit<DeliverMessage, 'body'>; slices: Slice[] }
  /** Only after the facts of its turn are stored, whether or not they gate. */
  | { effect: 'dropStream'; stream: string }
  | { effect: 'logs'; lines: LogLine[] }
  /** For the log of the coordinator. */
  | { effect: 'warn'; line: string };

/** An entry in the making. */
export interface Draft {
  stream: string;
  seq: number;
  facts: Fact[];
  body: Uint8Array[];
  bodyBytes: number;
  /** Holds that something is gone which nobody waited for: see `quietly`. */
  forgets?: boolean;
}

export class Turn {
  readonly nowMs: number;
  readonly wallMs: number;
  readonly random: () => number;
  readonly drafts: Map<string, Draft>;
  readonly effects: Effect[] = [];
  /** Must the effects wait until the drafts are durable? Hints alone do not make them wait (rule 6). */
  gating = false;
  /** The registry goes on in this stream: to be stored there, an entry each, before the drafts are. */
  roll: { stream: string; parts: readonly (readonly RegistryFact[])[] } | undefined;
  /** The clock has ticked; after a gap this process itself stood still. Leases are judged behind all that came meanwhile. */
  tick: 'none' | 'on time' | 'after a gap' = 'none';

  /** `carried`: drafts of hints that the previous turns left for the next commit. */
  constructor(moment: Moment, carried: Map<string, Draft> = new Map()) {
    this.nowMs = moment.nowMs;
    this.wallMs = moment.wallMs;
    this.random = randomFrom(moment.seed);
    this.drafts = carried;
  }

  private draft(stream: string, seq: number): Draft {
    let draft = this.drafts.get(stream);
    if (!draft) {
      draft = { stream, seq, facts: [], body: [], bodyBytes: 0 };
      this.drafts.set(stream, draft);
    }
    return draft;
  }

  registryFact(state: State, fact: RegistryFact): void {
    const draft = this.draft(state.registry.stream, state.registry.nextSeq);
    draft.facts.push(fact);
    this.gating = true;
    applyRegistryFact(state, fact, this);
  }

  /**
   * A job goes, and nobody waits for that: the facts ride with the next commit. What must come after them waits for it: a
   * `dropStream`, and every answer, which may say that there is no such job; told too soon, the job could come back.
   */
  quietly(act: () => void): void {
    const { gating } = this;
    act();
    this.gating = gating;
    for (const draft of this.drafts.values()) draft.forgets = true;
  }

  /** An entry of another of the registry's streams. */
  entryOf(stream: string, seq: number, fact: RegistryFact): void {
    this.draft(stream, seq).facts.push(fact);
    this.gating = true;
  }

  /** The one entry of a stream that holds nothing else. */
  entry(stream: string, fact: RegistryFact, body: readonly Uint8Array[]): void {
    const draft = this.draft(stream, 0);
    draft.facts.push(fact);
    for (const chunk of body) {
      draft.body.push(chunk);
      draft.bodyBytes += chunk.length;
    }
    this.gating = true;
  }

  jobFact(state: State, job: Job, fact: JobFact): void {
    const draft = this.draft(job.stream, job.nextSeq);
    draft.facts.push(job.isTimed && !('wallMs' in fact) ? Object.assign({}, fact, { wallMs: this.wallMs }) : fact);
    this.gating = true;
    applyJobFact(state, job, fact, draft.seq, this);
    state.touched.add(job);
  }

  /** A fact that is only a hint, already folded by the caller; it rides with the next commit. */
  hint(job: Job, fact: JobFact, mustBeDurable: boolean): void {
    this.draft(job.stream, job.nextSeq).facts.push(fact);
    if (mustBeDurable) this.gating = true;
  }

  /** Adds payload to the entry of the job's stream; returns its offset there. Goes before the fact that names it. */
  payload(job: Job, chunks: readonly Uint8Array[]): number {
    const draft = this.draft(job.stream, job.nextSeq);
    const offset = draft.bodyBytes;
    for (const chunk of chunks) {
      if (chunk.length === 0) continue;
      draft.body.push(chunk);
      draft.bodyBytes += chunk.length;
    }
    return offset;
  }

  send(address: string, message: ToWorker): void {
    this.effects.push({ effect: 'send', address, message });
  }

  tell(session: string, message: ToClient): void {
    if (!this.gating && isAnswer(message)) for (const { forgets } of this.drafts.values()) this.gating ||= forgets === true;
    this.effects.push({ effect: 'tell', session, message });
  }
}

/** Gathers slices, joining what lies side by side. */
export class SliceList {
  readonly slices: Slice[] = [];
  bytes = 0;

  add(seq: number, offset: number, length: number): void {
    this.bytes += length;
    if (length === 0) return;
    const last = this.slices.at(-1);
    if (last && last.seq === seq && last.offset + last.length === offset) last.length += length;
    else this.slices.push({ seq, offset, length });
  }
}

function isAnswer({ kind }: ToClient): boolean {
  return kind === 'reply' || kind === 'refusal' || kind === 'readEnd';
}

/** After the drafts were stored: the next entry of each stream comes behind them. */
export function advanceStreams(state: State, drafts: Iterable<Draft>): void {
  for (const draft of drafts) {
    const { stream, seq } = draft;
    if (stream === state.registry.stream || stream === state.registry.root) advanceRegistry(state, draft);
    else if (stream.startsWith(jobStream(''))) {
      const job = state.jobs.get(stream.slice(jobStream('').length));
      if (job) job.nextSeq = seq + 1;
    }
  }
}
