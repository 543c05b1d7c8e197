/**
 * Inputs that were sent and are not known to be durable: a client whose line may break keeps them, and sends them again
 * when it is back. What it keeps is bounded by who feeds: no more than the feeder's window is on the way.
 *
 * Per job, stage and feeder: batches in order, dropped from the front as `flow` reports cover them; the seal goes last.
 */
import type { FromClient, ToClient } from '../core/messages.ts';

type Inputs = Extract<FromClient, { kind: 'inputs' }>;
type Seal = Extract<FromClient, { kind: 'seal' }>;
type Flow = Extract<ToClient, { kind: 'flow' }>;

interface Feed {
  job: string;
  stage: number;
  feeder: number | undefined;
  /** Durable as far as we were told. */
  added: number;
  batches: Inputs[];
  seal: Seal | undefined;
}

export class UnconfirmedInputs {
  readonly #feeds = new Map<string, Feed>();

  /** Batches that wait for confirmation, over all jobs. */
  get batchCount(): number {
    let count = 0;
    for (const { batches } of this.#feeds.values()) count += batches.length;
    return count;
  }

  /** Nothing is being fed, and all that was is durable. */
  get isEmpty(): boolean {
    return this.#feeds.size === 0;
  }

  /** Of the job there is something that is not durable, or not sealed. */
  has(job: string): boolean {
    for (const feed of this.#feeds.values()) if (feed.job === job) return true;
    return false;
  }

  /** Keeps it; gives it as it is to be sent. */
  sent(message: Inputs | Seal): Inputs | Seal {
    const key = keyOf(message);
    let feed = this.#feeds.get(key);
    if (!feed) {
      feed = { job: message.job, stage: message.stage, feeder: message.feeder, added: 0, batches: [], seal: undefined };
      this.#feeds.set(key, feed);
    }
    const asking = { ...message, confirm: true };
    if (asking.kind === 'seal') feed.seal = asking;
    else feed.batches.push(asking);
    return asking;
  }

  confirmed(flow: Flow): void {
    for (const [key, feed] of this.#feeds) {
      if (feed.job !== flow.job || feed.stage !== flow.stage) continue;
      if (flow.conflict !== undefined) {
        if (feed.feeder === flow.feeder) this.#feeds.delete(key);
        continue;
      }
      feed.added = Math.max(feed.added, flow.added);
      let count = 0;
      while (count < feed.batches.length && endOf(feed.batches[count]!) <= feed.added) count++;
      if (count > 0) feed.batches.splice(0, count);
      if (flow.sealed) this.#feeds.delete(key);
    }
  }

  /** The job is over or given up: nothing of it is wanted any more. */
  forget(job: string): void {
    for (const [key, feed] of this.#feeds) if (feed.job === job) this.#feeds.delete(key);
  }

  /** What has to be said after a break: who feeds, and all that is not durable. */
  again(): (Inputs | Seal)[] {
    return [...this.#feeds.values()].flatMap(({ job, stage, added, batches, seal }) => {
      const first: Inputs[] = batches.length > 0 ? batches : [nothingNew(job, stage, added)];
      return seal ? [...first, seal] : first;
    });
  }
}

function nothingNew(job: string, stage: number, from: number): Inputs {
  return { kind: 'inputs', job, stage, from, lengths: new Uint32Array(), confirm: true, body: [] };
}

function endOf({ from, lengths }: Inputs): number {
  return from + lengths.length;
}

/** Two that feed one job under its key have different batches, and may turn out to have different inputs. */
function keyOf({ job, stage, feeder }: Inputs | Seal): string {
  return `${job}/${stage}/${feeder ?? ''}`;
}
