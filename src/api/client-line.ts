/**
 * A client's line: one WebSocket bound to one session of the coordinator. Each message is looked at before the core hears
 * it: is it a client's word, may this role say it, does it make sense?
 *
 * 1. What has a request number is refused by an answer; what has none, or is no message at all, ends the line.
 * 2. While the coordinator's inbox is full the line is not read.
 * 3. What waits for a client that reads slowly has a bound: readers get no more than the line takes (credit.ts), and whoever
 *    has more than `waitingBytesMax` on its way all the same, as of many large results at once, is cut off: it gets what waits,
 *    and may come back for the rest (N10).
 * 4. The end of either side is the end of both: a broken line closes its session, whose jobs go on.
 * 5. The answer to a submission that is read from the start goes with the first delivery, if that comes soon: whoever waits
 *    for a result has no use for it before, and each message wakes another process.
 */
import type { WebSocket } from 'ws';
import { messageBytesMax } from '../core/limits.ts';
import type { FromClient, Refusal, Reply, Session, ToClient } from '../core/messages.ts';
import { bundlesOf } from '../core/spec.ts';
import type { Role } from '../lib/tokens.ts';
import { decodeMessage, encodeMessage } from '../wire/frame.ts';
import { type Link, openLink } from '../wire/link.ts';
import { checkMessage } from './check-message.ts';
import { Credit } from './credit.ts';
import { isKnownKind, mayDo } from './roles.ts';

export interface ClientLineOptions {
  role: Role;
  /** Resolves when the coordinator takes more; undefined while it does. */
  room: () => Promise<void> | undefined;
  onEnd: () => void;
}

const highWaterBytes = 8 * 1024 * 1024;
/** One message of the largest size, and whatever is on the way beside it. */
const waitingBytesMax = messageBytesMax + 8 * highWaterBytes;
const readersMax = 100_000;
/** Of the registry of close codes: nothing that was said is wrong, and the client comes back by itself. */
const tryAgainLater = 1013;
/** How long an answer waits for a delivery at most. */
const answerMs = 10;

export function bindClient(socket: WebSocket, session: Session, options: ClientLineOptions): Link {
  return new ClientLine(socket, session, options).link;
}

class ClientLine {
  readonly link: Link;
  private readonly session: Session;
  private readonly options: ClientLineOptions;
  private readonly credit: Credit;
  /** Opened and neither ended by the coordinator nor unread. */
  private readonly readers = new Set<number>();
  /** The readers that were asked for with a submission, by its request. */
  private readonly alongs = new Map<number, number>();
  private readonly answers: Reply[] = [];
  private answering: NodeJS.Timeout | undefined;

  constructor(socket: WebSocket, session: Session, options: ClientLineOptions) {
    this.session = session;
    this.options = options;
    this.link = openLink(socket, {
      messageBytesMax,
      isOrdered: true,
      highWaterBytes,
      onMessage: (bytes) => this.hear(bytes),
      onClose: () => {
        clearTimeout(this.answering);
        session.close();
        options.onEnd();
      },
    });
    this.credit = new Credit(this.link, highWaterBytes, (message) => session.send(message));
    session.onMessage = (message) => this.tell(message);
    session.onClose = () => this.link.close(1012, 'the coordinator stops');
  }

  private tell(message: ToClient): void {
    if (message.kind === 'reply' && this.alongs.delete(message.request)) return this.answerSoon(message);
    if (message.kind === 'refusal') this.neverOpened(message.request);
    if (message.kind === 'deliver' && this.answers.length > 0) this.send({ ...message, replies: this.answers.splice(0) });
    else {
      this.answer();
      this.send(message);
    }
    if (this.link.queuedBytes > waitingBytesMax) return this.link.close(tryAgainLater, 'more was asked for than was read');
    if (message.kind === 'readEnd') {
      this.readers.delete(message.reader);
      this.credit.close(message.reader);
    } else if (message.kind === 'printed' && message.done) this.readers.delete(message.reader);
    else if (message.kind === 'deliver') this.credit.delivered(message);
  }

  private answerSoon(reply: Reply): void {
    this.answers.push(reply);
    // Left to run when a delivery takes the answer along: a timer for each would cost more than one that finds nothing.
    this.answering ??= setTimeout(() => {
      this.answering = undefined;
      this.answer();
    }, answerMs);
  }

  private answer(): void {
    for (const reply of this.answers.splice(0)) this.send(reply);
  }

  private send(message: ToClient): void {
    this.link.send(encodeMessage(message));
  }

  private neverOpened(request: number): void {
    const reader = this.alongs.get(request);
    if (reader === undefined) return;
    this.alongs.delete(request);
    this.readers.delete(reader);
    this.credit.close(reader);
  }

  private hear(bytes: Uint8Array): void {
    let message: FromClient;
    try {
      message = decodeMessage<FromClient>(bytes);
    } catch (error) {
      this.link.close(1002, (error as Error).message);
      return;
    }
    const refusal = refusalOf(message, this.options.role);
    if (refusal) return this.refuse(message, refusal);
    this.pass(message);
    const waits = this.options.room();
    if (!waits) return;
    this.link.pause();
    void waits.then(() => this.link.resume());
  }

  private refuse(message: FromClient, error: Refusal): void {
    if (!('request' in message) || !Number.isSafeInteger(message.request)) this.link.close(1008, error.why ?? error.message);
    else this.tell({ kind: 'refusal', request: message.request, error });
  }

  private pass(message: FromClient): void {
    switch (message.kind) {
      case 'submit': {
        const { read, unread } = message;
        for (const reader of unread ?? []) this.pass({ kind: 'unread', reader });
        if (!read) break;
        if (!this.admit(read.reader)) return;
        this.alongs.set(message.request, read.reader);
        return this.credit.open(read, (credit) => ({ ...message, read: { ...read, credit } }));
      }
      case 'read':
        if (!this.admit(message.reader)) return;
        return this.credit.open(message, (credit) => ({ ...message, credit }));
      case 'readLogs':
        if (!this.admit(message.reader)) return;
        break;
      case 'readCredit':
        return this.credit.more(message.reader, message.credit);
      case 'unread':
        this.credit.close(message.reader);
        this.readers.delete(message.reader);
        // A job that is kept until it was read is not to go because of who may only look.
        return this.session.send(this.options.role === 'read-only' ? { ...message, keeps: true } : message);
      default:
    }
    this.session.send(message);
  }

  private admit(reader: number): boolean {
    if (this.readers.has(reader)) this.link.close(1008, 'a reader of this number is open');
    else if (this.readers.size >= readersMax) this.link.close(1008, `more than ${readersMax} readers are open`);
    else {
      this.readers.add(reader);
      return true;
    }
    return false;
  }
}

function refusalOf(message: FromClient, role: Role): Refusal | undefined {
  if (!isKnownKind(message.kind))
    return { code: 'SH1330', message: 'the coordinator does not know this request', why: 'its kind is unknown' };
  if (!mayDo(role, message.kind)) {
    return {
      code: 'SH3002',
      message: `a ${role} token may not do this`,
      why: `${message.kind} needs more rights`,
      hint: "use a token of another role, from the coordinator's tokens file",
    };
  }
  const wrong = checkMessage(message);
  if (wrong === undefined && message.kind === 'submit' && !mayDo(role, 'putBundle') && bundlesOf(message.spec).size > 0) {
    return {
      code: 'SH3002',
      message: `a ${role} token may not run uploaded programs`,
      why: 'it may submit tasks that workers have of their own',
      hint: 'use a client+bundles or admin token',
    };
  }
  return wrong === undefined ? undefined : { code: 'SH1330', message: `the coordinator does not understand this request`, why: wrong };
}
