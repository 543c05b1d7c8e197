/**
 * `nats:` and `tls:` — messages over NATS 2.9 and later, with JetStream.
 *
 * 1. All subjects begin with `shoal.<cluster>.`, answers included; the stream is `SHOAL_<cluster>`.
 * 2. `hello` and `coordinator.<term>` are subjects of that one work-queue stream, which every carrier makes if it is missing.
 *    A full stream refuses (`discard: new`), so the publisher hears of it. What nobody took for `untakenMs` is gone.
 * 3. `worker.…` and `probe.…` are plain subjects: gone with their listener, and what is said meanwhile is lost, which the
 *    protocol above repeats. A worker that is slower than its messages holds `heldBytesMax` of them, then loses them, with a
 *    warning: there is no way to slow down a publisher of plain NATS.
 * 4. Messages of the stream are pulled, one request at a time and never more than `fetchCount` unacknowledged. While a handle
 *    is under way the server is told so (`+WPI`); what a dead listener had comes to the next one after `acknowledgeMs`.
 * 5. A request is answered when it ends at the latest, with messages or without. No answer means that JetStream is away.
 */
import type { JetStreamManager } from '@nats-io/jetstream';
import type { Msg, NatsConnection } from '@nats-io/transport-node';
import type { Finding } from '../lib/finding.ts';
import { peer } from '../lib/peer.ts';
import type { Carrier, CarrierOptions, OpenCarrier, Subscription } from './carrier.ts';
import { acknowledgeMs, Listening, type Pulls, unacknowledgedMax } from './nats/listening.ts';
import { isLasting, refusal, streamName, subjectsOf, token } from './nats/names.ts';
import { type Client, dial, type JetStream, makeStream, untakenMs } from './nats/open.ts';
import { findings } from './nats/settings.ts';

const payloadBytesWanted = 512 * 1024;
const requestMs = 8_000;
const goodbyeMs = 300;

export const openNats: OpenCarrier = async (options) => {
  const both = '@nats-io/transport-node @nats-io/jetstream';
  const client = await peer('the NATS broker', '@nats-io/transport-node', () => import('@nats-io/transport-node'), both);
  const jetStream = await peer('the NATS broker', '@nats-io/jetstream', () => import('@nats-io/jetstream'), both);
  const connection = await dial(client, options);
  try {
    const manager = await jetStream.jetstreamManager(connection, { checkAPI: false, timeout: requestMs });
    const streamMax = await makeStream(jetStream, connection, options.cluster);
    return new NatsCarrier({ options, client, jetStream, connection, manager, streamMax });
  } catch (error) {
    await connection.close();
    throw refusal(error);
  }
};

interface Parts {
  options: CarrierOptions;
  client: Client;
  jetStream: JetStream;
  connection: NatsConnection;
  manager: JetStreamManager;
  /** How large a message of the stream may be. */
  streamMax: number;
}

class NatsCarrier implements Carrier {
  readonly payloadBytesMax: number;
  private readonly options: CarrierOptions;
  private readonly client: Client;
  private readonly jetStream: JetStream;
  private readonly connection: NatsConnection;
  private readonly manager: JetStreamManager;
  private readonly listening = new Set<Listening>();
  /** The library leaves some waiting for ever when the connection ends. */
  private readonly waiting = new Set<(error: Error) => void>();
  private isOver = false;

  constructor({ options, client, jetStream, connection, manager, streamMax }: Parts) {
    this.options = options;
    this.client = client;
    this.jetStream = jetStream;
    this.connection = connection;
    this.manager = manager;
    this.payloadBytesMax = Math.min(connection.info?.max_payload ?? payloadBytesWanted, streamMax, payloadBytesWanted);
    void connection.closed().then((error) => this.lose(error instanceof Error ? error.message : 'the connection was closed'));
    void this.watch();
  }

  async subscribe(inbox: string, handle: (payloads: readonly Uint8Array[]) => Promise<void>): Promise<Subscription> {
    const subject = this.subject(inbox);
    const { onWarning } = this.options;
    const pulls = isLasting(inbox) ? await this.pullsOf(inbox, subject) : undefined;
    const listening = new Listening({ inbox, handle, pulls, onWarning, onLost: (why) => this.lose(why) });
    const heard = (error: Error | null, message: Msg): void => (error ? this.lose(error.message) : listening.arrived(message));
    const subscription = this.connection.subscribe(pulls?.answers ?? subject, { callback: heard });
    this.listening.add(listening);
    listening.start(subscription, () => this.listening.delete(listening));
    await this.unlessOver(this.connection.flush());
    return listening;
  }

  async publish(inbox: string, payloads: readonly Uint8Array[]): Promise<void> {
    const subject = this.subject(inbox);
    if (isLasting(inbox)) {
      // In order: each is written before the next, and the answers are waited for together.
      const answers = payloads.map((payload) => this.connection.request(subject, payload, { timeout: requestMs }));
      const outcomes = await this.unlessOver(Promise.allSettled(answers));
      for (const outcome of outcomes) if (outcome.status === 'rejected') throw refusal(outcome.reason);
      for (const outcome of outcomes) if (outcome.status === 'fulfilled') checkStored(outcome.value);
      return;
    }
    for (const payload of payloads) this.connection.publish(subject, payload);
    await this.unlessOver(this.connection.flush());
  }

  async inspect(): Promise<readonly Finding[]> {
    const { config } = await this.unlessOver(this.manager.streams.info(streamName(this.options.cluster)));
    return findings(this.connection.info!, config);
  }

  async close(): Promise<void> {
    if (!this.isOver && !this.connection.isClosed()) await untilOrAfter(this.connection.flush(), goodbyeMs);
    this.end('it was closed');
    await this.connection.close();
  }

  private lose(why: string): void {
    if (this.isOver) return;
    this.end(why);
    void this.connection.close();
    this.options.onLost(why);
  }

  private end(why: string): void {
    this.isOver = true;
    for (const listening of this.listening) listening.end();
    for (const reject of this.waiting) reject(new Error(why));
    this.waiting.clear();
  }

  private async watch(): Promise<void> {
    for await (const status of this.connection.status()) if (status.type === 'error') this.lose(status.error.message);
  }

  private subject(inbox: string): string {
    return `${subjectsOf(this.options.cluster)}.${inbox.split('.').map(token).join('.')}`;
  }

  private async pullsOf(inbox: string, subject: string): Promise<Pulls> {
    const stream = streamName(this.options.cluster);
    const consumer = inbox.replaceAll('.', '-');
    const { AckPolicy } = this.jetStream;
    const adding = this.manager.consumers.add(stream, {
      durable_name: consumer,
      filter_subject: subject,
      ack_policy: AckPolicy.Explicit,
      ack_wait: acknowledgeMs * 1e6,
      max_ack_pending: unacknowledgedMax,
      ...(inbox !== 'hello' && { inactive_threshold: untakenMs * 1e6 }),
    });
    try {
      await this.unlessOver(adding);
    } catch (error) {
      throw refusal(error);
    }
    const answers = this.client.createInbox(`${subjectsOf(this.options.cluster)}.answers`);
    const next = `$JS.API.CONSUMER.MSG.NEXT.${stream}.${consumer}`;
    const ask = (batch: number, expiresMs: number): void =>
      this.connection.publish(next, JSON.stringify({ batch, expires: expiresMs * 1e6 }), { reply: answers });
    return { answers, ask };
  }

  private unlessOver<T>(promise: Promise<T>): Promise<T> {
    if (this.isOver) {
      promise.catch(() => {});
      return Promise.reject(new Error('the connection is over'));
    }
    return new Promise((resolve, reject) => {
      this.waiting.add(reject);
      promise.then(resolve, reject).finally(() => this.waiting.delete(reject));
    });
  }
}

function checkStored(message: Msg): void {
  const answer = message.json<{ error?: { description?: string; err_code?: number } }>();
  if (answer.error) throw new Error(`JetStream did not take it: ${answer.error.description ?? answer.error.err_code}`);
}

async function untilOrAfter(awaited: Promise<unknown>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const after = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([awaited.catch(() => {}), after]);
  clearTimeout(timer);
}
