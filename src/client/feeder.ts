/**
 * Feeds a map's inputs to its job, as fast as they are worked off and no faster.
 *
 * 1. Of the inputs that were sent, at most `inFlightMax` (and about `bytesMax` of bytes) are not final yet.
 * 2. While somebody iterates over the results, at most `inFlightMax` lie between the last input sent and the last
 *    result taken, so that neither inputs nor results pile up.
 * 3. An input that cannot travel, or an iterator that throws, ends the feeding before anything of its batch is sent.
 * 4. The iterator is closed, unless it came to its end by itself.
 * 5. A job that has inputs already is fed on only after the same inputs were seen again (H14).
 */
import type { Codec } from '../codecs/codec.ts';
import type { SubmitReply } from '../core/answers.ts';
import { ShoalError } from '../lib/errors.ts';
import type { Connection, FlowSink } from './connection.ts';
import { RollingDigest } from './digests.ts';
import { InputBatch, type InputSource } from './input-source.ts';

const bytesMax = 64 * 1024 * 1024;
/** The first batches are small, so that the first results come soon. */
const firstBatchTasks = 512;

export interface FeederOptions {
  connection: Connection;
  job: string;
  stage: number;
  who: string;
  codec: Codec;
  source: InputSource;
  inFlightMax: number;
  /** What the job has already; makes the feeder compute digests. */
  known?: SubmitReply['stages'][number] | undefined;
  isKeyed: boolean;
  /** Called when the job turns out to have other inputs: its feeding has ended then, and the job goes on. */
  onConflict?: ((error: ShoalError) => void) | undefined;
  onInput?: ((input: unknown, index: number) => void) | undefined;
}

export class Feeder {
  readonly #options: FeederOptions;
  readonly #batch: InputBatch;
  readonly #digest: RollingDigest | undefined;
  readonly #number: number | undefined;
  /** Set once the job is known to have other inputs. */
  conflict: ShoalError | undefined;
  #isFree = false;
  #sent = 0;
  #sentBytes = 0;
  #final = 0;
  /** Results taken by whoever iterates; undefined while nobody does. */
  #taken: number | undefined;
  #batchTasks = firstBatchTasks;
  #isStopped = false;
  #wake: (() => void) | undefined;
  #isFlushDue = false;
  /** All inputs were taken and the job was told so. */
  isComplete = false;

  constructor(options: FeederOptions) {
    this.#options = options;
    this.#batch = new InputBatch(options.codec, options.who, options.onInput);
    this.#digest = options.isKeyed ? new RollingDigest() : undefined;
    this.#number = options.isKeyed ? options.connection.newFeeder() : undefined;
  }

  /** Sees the inputs again that the job has already. Throws SH1403 if they are others. */
  async verify(): Promise<void> {
    const { known, source, who } = this.#options;
    const count = known?.count ?? 0;
    while (this.#batch.from < count) {
      const goesOn = await source.fill(this.#batch, () => count - this.#batch.from, nothing);
      this.#digest?.add(...take(this.#batch));
      if (!goesOn && this.#batch.from < count) throw otherInputs(who, `there were ${count} inputs, now there are ${this.#batch.from}`);
      await turn();
    }
    if (count > 0 && known?.digest !== undefined && known.digest !== this.#digest?.value) {
      throw otherInputs(who, `the first ${count} inputs are not what they were`);
    }
    this.#sent = count;
    // Old inputs that are not final yet are few or many; either way they are on the way already.
    this.#final = count;
    if (!known?.sealed) return;
    const goesOn = await source.fill(this.#batch, () => 1, nothing);
    if (goesOn || this.#batch.count > 0) throw otherInputs(who, `there were ${count} inputs, now there are more`);
    this.isComplete = true;
  }

  /** Resolves when all inputs are sent, or the feeding was stopped. */
  async feed(): Promise<void> {
    if (this.isComplete) return;
    const { connection, job, stage, source } = this.#options;
    const onFlow: FlowSink = (flow) => {
      if (flow.stage !== stage) return;
      if (flow.conflict !== undefined) {
        if (flow.feeder !== this.#number) return;
        this.conflict ??= otherInputs(this.#options.who, flow.conflict);
        this.#options.onConflict?.(this.conflict);
        this.#stop();
        return;
      }
      if (flow.sealed && this.isComplete) connection.offFlow(job, onFlow);
      this.#final = Math.max(this.#final, flow.final);
      this.#wake?.();
    };
    connection.onFlow(job, onFlow);
    try {
      while (!this.#isStopped && !connection.isOver) {
        if (!this.#hasRoom()) await this.#room();
        if (this.#isStopped) break;
        const filled = source.fill(this.#batch, this.#limit, this.#flushSoon);
        const goesOn = typeof filled === 'boolean' ? filled : await filled;
        if (this.#isStopped) break;
        this.#send();
        if (!goesOn) {
          const keyed = this.#digest && { feeder: this.#number!, mark: this.#digest.mark, confirm: true };
          connection.feed({ kind: 'seal', job, stage, total: this.#sent, ...keyed });
          this.isComplete = true;
          return;
        }
        // In one process the coordinator lives on the same thread and wants its turn.
        await turn();
      }
    } finally {
      // Under a key the last inputs, too, may turn out to be others.
      if (!this.#digest || !this.isComplete) connection.offFlow(job, onFlow);
      if (!this.isComplete) source.close();
    }
  }

  /** The job has succeeded: nothing is held back any more, what is left is sent to be compared. */
  letGo(): void {
    this.#isFree = true;
    this.#wake?.();
  }

  stop(): void {
    if (!this.isComplete) this.#stop();
  }

  #stop(): void {
    if (this.#isStopped) return;
    this.#isStopped = true;
    this.#options.source.close();
    this.#wake?.();
  }

  /** `count` results in all have been taken by whoever iterates; undefined: nobody does any more. */
  taken(count: number | undefined): void {
    this.#taken = count;
    this.#wake?.();
  }

  #send(): void {
    const { connection, job, stage } = this.#options;
    if (this.#batch.count === 0) return;
    const { from, lengths, body } = this.#batch.take();
    const marks = this.#digest?.add(lengths, body);
    this.#sent += lengths.length;
    this.#sentBytes += body.length;
    this.#batchTasks *= 2;
    connection.feed({ kind: 'inputs', job, stage, from, lengths, body: [body], ...this.#keyed(marks) });
  }

  #keyed(marks: Uint32Array | undefined): { digest: string; feeder: number; marks: Uint32Array } | undefined {
    return marks && { digest: this.#digest!.value, feeder: this.#number!, marks };
  }

  /** What an async source gave goes out when it lets the loop turn, not when the batch is full. */
  readonly #flushSoon = (): void => {
    if (this.#isFlushDue || this.#batch.count === 0) return;
    this.#isFlushDue = true;
    setImmediate(() => {
      this.#isFlushDue = false;
      if (!this.#isStopped) this.#send();
    });
  };

  /** Tasks that the batch may have now. */
  readonly #limit = (): number => Math.min(this.#batchTasks, this.#window() - this.#behind());

  /** Sent and not yet worked off, as a count. */
  #behind(): number {
    return this.#isFree ? 0 : this.#sent - Math.min(this.#final, this.#taken ?? this.#final);
  }

  #window(): number {
    const { inFlightMax } = this.#options;
    if (this.#sentBytes === 0) return inFlightMax;
    const bytesPerTask = this.#sentBytes / this.#sent;
    return Math.max(1, Math.min(inFlightMax, Math.floor(bytesMax / Math.max(1, bytesPerTask))));
  }

  /** Room for a batch worth sending: waiting for an eighth of the window costs nothing, the rest of it is on the way. */
  #hasRoom(): boolean {
    const window = this.#window();
    return window - this.#behind() >= Math.max(1, Math.floor(window / 8));
  }

  async #room(): Promise<void> {
    while (!this.#isStopped && !this.#hasRoom()) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    this.#wake = undefined;
  }
}

function take(batch: InputBatch): [Uint32Array, Uint8Array] {
  const { lengths, body } = batch.take();
  return [lengths, body];
}

function nothing(): void {}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

export function otherInputs(who: string, why: string): ShoalError {
  return new ShoalError('SH1403', `${who}: the same idempotency key, other inputs`, {
    why,
    hint: 'use another key for other inputs (or another --journal, if the key is an automatic one)',
  });
}
