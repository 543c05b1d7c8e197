/**
 * `amqp:` and `amqps:` — messages over RabbitMQ 3.10 and later.
 *
 * Two connections a carrier, since a server that runs short of memory or disk stops reading from whoever publishes: what is
 * acknowledged must get through then, or nothing would ever be emptied. Either one lost is the carrier lost.
 *
 * 1. Everything goes through the default exchange to queues named `shoal.<cluster>.<inbox>`.
 * 2. `hello` and `coordinator.<term>` are quorum queues, made by whoever needs them first, publishers included. What nobody
 *    took for `untakenMs` is gone, and so is the queue of a term that nobody listened to for as long.
 * 3. `worker.…` and `probe.…` are made by their listener, and gone `absentMs` after it. They are classic queues that are not
 *    durable, and so gone with their node: one that is durable can't be made elsewhere while that is away. RabbitMQ 4 phases
 *    those out, and gets quorum queues instead.
 * 4. A full queue refuses (`reject-publish`): the publisher hears of it. The server's other choice drops in silence.
 * 5. The newest listener of an inbox is served first: one whose connection broke unnoticed would take its share of messages
 *    until its heartbeats are missed.
 * 6. Each lasting inbox has a channel of its own to publish on. One that publishes to a quorum queue without a leader (see
 *    `removeIfLeaderless`) answers nothing any more, and the queue of a former coordinator may stay so: nobody listens there.
 * 7. The acknowledgement limit of the server (`consumer_timeout`, 30 min) is about acknowledgements only, and they follow the
 *    handler at once, whatever tasks do (N08).
 */
import type { Channel, ChannelModel, ConfirmChannel, ConsumeMessage } from 'amqplib';
import type { Finding } from '../lib/finding.ts';
import { peer } from '../lib/peer.ts';
import type { Carrier, CarrierOptions, OpenCarrier, Subscription } from './carrier.ts';
import { policyFindings } from './rabbitmq/policies.ts';
import { isLasting, queueOptions } from './rabbitmq/queues.ts';
import { alarmFinding, isOlderThan, versionFinding } from './rabbitmq/settings.ts';
import { refusal, sizeLimitIn, withoutUser } from './rabbitmq/words.ts';

/** Messages of this size and number are in a listener's memory at most. */
const payloadBytesMax = 512 * 1024;
const prefetchCount = 64;
const heartbeatSeconds = 10;
const openMs = 8_000;
/** For the words that end a connection; then its socket is cut. */
const goodbyeMs = 300;
const alarmAnswerMs = 1_000;
/** An election takes a second, and the server gives up a queue's servers after five. */
const leaderMs = 3_000;

export const openRabbitmq: OpenCarrier = async (options) => {
  const { connect } = await peer('the RabbitMQ broker', 'amqplib', () => import('amqplib'));
  const connections = await Promise.allSettled(['hears', 'sends'].map((what) => dialAny(connect, options, what)));
  const opened = connections.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  const failed = connections.find((result) => result.status === 'rejected');
  const [hearing, sending] = opened;
  if (failed || !hearing || !sending) {
    await Promise.all(opened.map(hangUp));
    throw refusal(failed?.reason);
  }
  const carrier = new RabbitmqCarrier(options, hearing, sending);
  await carrier.start();
  return carrier;
};

/** Servers that take less than we would send, as they said when they closed a channel for it (`max_message_size`). */
const smallerLimits = new Map<string, number>();

class RabbitmqCarrier implements Carrier {
  readonly payloadBytesMax: number;
  private readonly options: CarrierOptions;
  private readonly hearing: ChannelModel;
  private readonly sending: ChannelModel;
  /** It takes queues that are neither durable nor one connection's own. */
  private readonly isOld: boolean;
  /** By lasting inbox; that of all others under ''. */
  private readonly publishers = new Map<string, Promise<ConfirmChannel>>();
  private readonly replaced = new WeakSet<ConfirmChannel>();
  /** Lasting inboxes that are known to exist. */
  private readonly made = new Map<string, Promise<unknown>>();
  private readonly listening = new Set<Listening>();
  private isOver = false;
  private alarm: string | undefined;

  constructor(options: CarrierOptions, hearing: ChannelModel, sending: ChannelModel) {
    this.options = options;
    this.payloadBytesMax = smallerLimits.get(options.url.host) ?? payloadBytesMax;
    this.hearing = hearing;
    this.sending = sending;
    this.isOld = isOlderThan(sending, [4, 0]);
    for (const connection of [hearing, sending]) {
      connection.on('error', (error) => this.lose(withoutUser(error.message)));
      connection.on('close', (error?: Error) => this.lose(withoutUser(error?.message ?? 'the connection was closed')));
    }
    sending.on('blocked', (reason) => {
      this.alarm = reason;
      options.onWarning(`RabbitMQ takes no messages: ${reason}`);
    });
    sending.on('unblocked', () => {
      this.alarm = undefined;
      options.onWarning('RabbitMQ takes messages again');
    });
  }

  async start(): Promise<void> {
    try {
      await this.publisherOf('');
    } catch (error) {
      await this.close();
      throw refusal(error);
    }
  }

  async subscribe(inbox: string, handle: (payloads: readonly Uint8Array[]) => Promise<void>): Promise<Subscription> {
    try {
      const channel = await this.hearing.createChannel();
      this.watch(channel);
      await channel.prefetch(prefetchCount);
      const listening = new Listening(channel, handle, () => this.isOver);
      this.listening.add(listening);
      channel.on('close', () => this.listening.delete(listening));
      const onDelivery = (message: ConsumeMessage | null): void => {
        if (message) listening.arrived(message);
        else this.lose(`the queue ${this.queueName(inbox)} was deleted`);
      };
      const consuming = this.make(channel, inbox).then(() => channel.consume(this.queueName(inbox), onDelivery, { priority: Date.now() }));
      const isQuorum = isLasting(inbox) || !this.isOld;
      if (isQuorum) await this.removeIfLeaderless(inbox, consuming);
      listening.consumes((await consuming).consumerTag);
      return listening;
    } catch (error) {
      throw refusal(error);
    }
  }

  async publish(inbox: string, payloads: readonly Uint8Array[]): Promise<void> {
    const line = isLasting(inbox) ? inbox : '';
    const channel = await this.publisherOf(line);
    if (isLasting(inbox)) await this.makeOnce(inbox, channel);
    if (this.isOver) throw new Error('the connection is over');
    try {
      await confirmed(payloads.length, (told) => {
        for (const payload of payloads) {
          const content = Buffer.from(payload.buffer, payload.byteOffset, payload.length);
          channel.publish('', this.queueName(inbox), content, { persistent: isLasting(inbox) }, told);
        }
      });
    } catch (error) {
      void this.replacePublisher(line, channel);
      throw error;
    }
  }

  async inspect(): Promise<readonly Finding[]> {
    await this.provokeAlarm();
    return [versionFinding(this.sending), alarmFinding(this.alarm)];
  }

  audit(): Promise<readonly Finding[]> {
    return policyFindings(this.options.url, this.options.cluster);
  }

  async close(): Promise<void> {
    this.isOver = true;
    // The end of a connection overtakes what its channels have to say.
    const left = Promise.all([...this.listening].map((listening) => listening.leave()));
    await Promise.all([left.then(() => hangUp(this.hearing)), hangUp(this.sending)]);
  }

  private lose(why: string): void {
    if (this.isOver) return;
    this.isOver = true;
    for (const connection of [this.hearing, this.sending]) cut(connection);
    this.options.onLost(why);
  }

  /** A channel that the server closed has done something that it will not do again by itself. */
  private watch(channel: Channel): void {
    let why = 'a channel was closed';
    channel.on('error', (error) => {
      why = withoutUser(error.message);
      const limit = sizeLimitIn(why);
      // Kept to from the next connection on, over which all that was not taken is said again in smaller parts (N09).
      if (limit !== undefined) smallerLimits.set(this.options.url.host, limit);
    });
    channel.on('close', () => {
      // Where the whole connection is lost, its own reason comes next.
      if (!leaving.has(channel)) queueMicrotask(() => this.lose(why));
    });
  }

  /**
   * The server keeps with each channel what that first knew of a quorum queue. One that met it without a leader may be refused all
   * that it publishes there, for ever: RabbitMQ 3.10 goes on asking the server that led it before. A new channel looks anew.
   */
  private async replacePublisher(line: string, refused: ConfirmChannel): Promise<void> {
    if (this.isOver || this.replaced.has(refused)) return;
    this.replaced.add(refused);
    this.publishers.delete(line);
    try {
      await this.publisherOf(line);
    } catch (error) {
      return this.lose(withoutUser((error as Error).message));
    }
    // Other queues may be about to confirm what it carried to them.
    await refused.waitForConfirms().catch(() => {});
    await leave(refused);
  }

  private publisherOf(line: string): Promise<ConfirmChannel> {
    const known = this.publishers.get(line);
    if (known) return known;
    if (this.isOver) return Promise.reject(new Error('the connection is over'));
    const opening = this.sending.createConfirmChannel().then((channel) => {
      this.watch(channel);
      return channel;
    });
    this.publishers.set(line, opening);
    return opening;
  }

  private queueName(inbox: string): string {
    return `shoal.${this.options.cluster}.${inbox}`;
  }

  private makeOnce(inbox: string, channel: Channel): Promise<unknown> {
    const known = this.made.get(inbox);
    if (known) return known;
    const making = this.make(channel, inbox).catch((error: unknown) => {
      throw refusal(error);
    });
    this.made.set(inbox, making);
    return making;
  }

  private make(channel: Channel, inbox: string): Promise<unknown> {
    return channel.assertQueue(this.queueName(inbox), queueOptions(inbox, this.isOld));
  }

  /**
   * A quorum queue that was made some seconds before all its servers were killed has no leader ever after
   * (rabbitmq/rabbitmq-server#10070). Nothing in it is precious, so whoever listens there makes it anew, at the next connection.
   */
  private async removeIfLeaderless(inbox: string, consuming: Promise<unknown>): Promise<void> {
    if (await isSettledWithin(consuming, leaderMs)) return;
    const channel = await this.hearing.createChannel();
    this.watch(channel);
    await channel.deleteQueue(this.queueName(inbox));
    throw new Error(`the queue ${this.queueName(inbox)} had no leader; it was removed, and is made anew`);
  }

  /** A server that has run short says so to those who publish, not to those who ask. */
  private async provokeAlarm(): Promise<void> {
    const channel = await this.publisherOf('');
    const answer = confirmed(1, (told) => channel.publish('', this.queueName('nobody'), Buffer.alloc(0), {}, told)).catch(() => {});
    await isSettledWithin(answer, alarmAnswerMs);
  }
}

/** One listener's messages, those that arrive while a handle is under way gathered for the next one. */
class Listening implements Subscription {
  private readonly channel: Channel;
  private readonly handle: (payloads: readonly Uint8Array[]) => Promise<void>;
  private readonly isOver: () => boolean;
  private waiting: ConsumeMessage[] = [];
  private pumping: Promise<void> | undefined;
  private isClosed = false;
  private consumerTag = '';

  constructor(channel: Channel, handle: (payloads: readonly Uint8Array[]) => Promise<void>, isOver: () => boolean) {
    this.channel = channel;
    this.handle = handle;
    this.isOver = isOver;
  }

  consumes(consumerTag: string): void {
    this.consumerTag = consumerTag;
  }

  arrived(message: ConsumeMessage): void {
    if (this.isClosed) return this.giveBack(message);
    this.waiting.push(message);
    this.pumping ??= this.pump();
  }

  /** What is not handed over yet is the next listener's at once; what is, when the handle is done with it. */
  async close(): Promise<void> {
    this.isClosed = true;
    this.tell(() => void this.channel.cancel(this.consumerTag).catch(() => {}));
    for (const message of this.waiting.splice(0)) this.giveBack(message);
    await this.pumping;
    if (!this.isOver()) await this.leave();
  }

  /** Waits for no handle. */
  leave(): Promise<void> {
    this.isClosed = true;
    return leave(this.channel);
  }

  private giveBack(message: ConsumeMessage): void {
    this.tell(() => this.channel.nack(message, false, true));
  }

  private tell(say: () => void): void {
    if (this.isOver()) return;
    try {
      say();
    } catch {
      // The server closed the channel a moment ago: it delivers them again.
    }
  }

  private async pump(): Promise<void> {
    // All that came in one piece from the socket is handed over together.
    await Promise.resolve();
    while (this.waiting.length > 0 && !this.isOver()) {
      const messages = this.waiting;
      this.waiting = [];
      await this.handle(messages.map(({ content }) => content));
      this.tell(() => this.channel.ack(messages.at(-1)!, true));
    }
    this.pumping = undefined;
  }
}

/** Channels whose end is wanted. */
const leaving = new WeakSet<Channel>();

async function leave(channel: Channel): Promise<void> {
  if (leaving.has(channel)) return;
  leaving.add(channel);
  try {
    await isSettledWithin(channel.close(), goodbyeMs);
  } catch {
    // The channel, or all of the connection, is closed already.
  }
}

/** Rejects with the first refusal once all have been answered for, so that nothing is under way any more. */
function confirmed(count: number, act: (told: (error: unknown) => void) => void): Promise<void> {
  if (count === 0) return Promise.resolve();
  return new Promise((resolve, reject) => {
    let open = count;
    let refused: unknown;
    act((error) => {
      refused ??= error ?? undefined;
      open -= 1;
      if (open > 0) return;
      if (refused === undefined) resolve();
      else reject(new Error(`RabbitMQ did not take it: ${whyRefused(refused)}`));
    });
  });
}

function whyRefused(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text === 'message nacked' ? 'the queue is full, or has no leader' : withoutUser(text);
}

type Connect = typeof import('amqplib').connect;

/** The first of the hosts that lets us in. */
async function dialAny(connect: Connect, options: CarrierOptions, what: string): Promise<ChannelModel> {
  const untilMs = performance.now() + openMs;
  const hosts = [options.url.host, ...(options.otherHosts ?? [])];
  const failures: unknown[] = [];
  for (const host of hosts) {
    const ms = (untilMs - performance.now()) / (hosts.length - failures.length);
    try {
      return await dial(connect, options, { host: new URL(`amqp://${host}`), what, ms });
    } catch (error) {
      failures.push(error);
    }
  }
  throw failures.at(-1);
}

interface Call {
  host: URL;
  what: string;
  ms: number;
}

async function dial(connect: Connect, { url, cluster }: CarrierOptions, { host, what, ms }: Call): Promise<ChannelModel> {
  const { username, password } = url;
  const dialling = connect(
    {
      protocol: url.protocol.slice(0, -1),
      hostname: host.hostname.replace(/^\[|\]$/g, ''),
      ...(host.port !== '' && { port: Number(host.port) }),
      ...((username !== '' || password !== '') && { username: decodeURIComponent(username), password: decodeURIComponent(password) }),
      // The library decodes it.
      vhost: url.pathname.slice(1),
      heartbeat: heartbeatSeconds,
    },
    // The timeout is of silence, and what is silent while the connection is made is cut by the library.
    { noDelay: true, timeout: 0.9 * ms, clientProperties: { connection_name: `shoal ${cluster} ${what}` } },
  );
  let deadline: NodeJS.Timeout | undefined;
  const isLate = new Promise<never>((_resolve, reject) => {
    deadline = setTimeout(() => {
      reject(new Error(`no connection within ${Math.round(ms)} ms`));
      dialling.then(hangUp, () => {});
    }, ms);
  });
  try {
    const connection = await Promise.race([dialling, isLate]);
    // Until the carrier listens: an error that nobody hears would end the process.
    connection.on('error', () => {});
    return connection;
  } finally {
    clearTimeout(deadline);
  }
}

async function hangUp(connection: ChannelModel): Promise<void> {
  await isSettledWithin(
    connection.close().catch(() => {}),
    goodbyeMs,
  );
  cut(connection);
}

/** With an error, because the library keeps its timers when a socket ends without one. */
function cut(connection: ChannelModel): void {
  const { stream } = connection.connection as unknown as { stream: import('node:net').Socket };
  if (!stream.destroyed) stream.destroy(new Error('the connection was cut'));
}

async function isSettledWithin(awaited: Promise<unknown>, ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const after = new Promise<boolean>((resolve) => {
    timer = setTimeout(resolve, ms, false);
  });
  const settled = awaited.then(
    () => true,
    () => true,
  );
  const isSettled = await Promise.race([settled, after]);
  clearTimeout(timer);
  return isSettled;
}
