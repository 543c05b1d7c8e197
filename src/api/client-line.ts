/**
 * A client's line: one WebSocket bound to one session of the coordinator. Each message is looked at before the core hears
 * it: is it a client's word, may this role say it, does it make sense?
 *
 * 1. What has a request number is refused by an answer; what has none, or is no message at all, ends the line.
 * 2. While the coordinator's inbox is full the line is not read.
 * 3. The end of either side is the end of both: a broken line closes its session, whose jobs go on.
 */
import type { WebSocket } from 'ws';
import { messageBytesMax } from '../core/limits.ts';
import type { DeliverMessage, FromClient, Refusal, Session } from '../core/messages.ts';
import type { Role } from '../lib/tokens.ts';
import { decodeMessage, encodeMessage } from '../wire/frame.ts';
import { type Link, openLink } from '../wire/link.ts';
import { checkMessage } from './check-message.ts';
import { isKnownKind, mayDo } from './roles.ts';

export interface ClientLineOptions {
  role: Role;
  /** Resolves when the coordinator takes more; undefined while it does. */
  room: () => Promise<void> | undefined;
  onEnd: () => void;
}

export function bindClient(socket: WebSocket, session: Session, options: ClientLineOptions): Link {
  const link = openLink(socket, {
    messageBytesMax,
    onMessage: (bytes) => hear(link, session, bytes, options),
    onClose: () => {
      session.close();
      options.onEnd();
    },
  });
  const window = new Window(link, session);
  session.onMessage = (message) => {
    link.send(encodeMessage(message));
    if (message.kind === 'deliver') window.sent(message);
  };
  session.onClose = () => link.close(1012, 'the coordinator stops');
  return link;
}

function hear(link: Link, session: Session, bytes: Uint8Array, { role, room }: ClientLineOptions): void {
  let message: FromClient;
  try {
    message = decodeMessage<FromClient>(bytes);
  } catch (error) {
    link.close(1002, (error as Error).message);
    return;
  }
  const refusal = refusalOf(message, role);
  if (refusal) {
    if ('request' in message && Number.isSafeInteger(message.request)) {
      link.send(encodeMessage({ kind: 'refusal', request: message.request, error: refusal }));
    } else link.close(1008, refusal.why ?? refusal.message);
    return;
  }
  session.send(message.kind === 'read' ? { ...message, windowBytes } : message);
  const waits = room();
  if (!waits) return;
  link.pause();
  void waits.then(() => link.resume());
}

/** Of each reader's results under way on a line. */
const windowBytes = 16 * 1024 * 1024;
const giveBackBytes = 4 * 1024 * 1024;

/**
 * Gives a reader's bytes back when the line has taken them, so that a client which reads slowly, or not at all, holds no
 * more than a window of results here, whatever credit it gave itself (N10).
 */
class Window {
  private readonly link: Link;
  private readonly session: Session;
  private readonly owed = new Map<number, number>();

  constructor(link: Link, session: Session) {
    this.link = link;
    this.session = session;
  }

  sent({ reader, body, done }: DeliverMessage): void {
    if (done) {
      this.owed.delete(reader);
      return;
    }
    let bytes = this.owed.get(reader) ?? 0;
    for (const chunk of body) bytes += chunk.length;
    this.owed.set(reader, bytes);
    if (bytes < giveBackBytes) return;
    this.owed.set(reader, 0);
    void this.link.room().then(() => {
      if (this.link.isOpen) this.session.send({ kind: 'readCredit', reader, credit: 0, bytes });
    });
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
  return wrong === undefined ? undefined : { code: 'SH1330', message: `the coordinator does not understand this request`, why: wrong };
}
