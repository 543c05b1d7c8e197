/**
 * A message system in memory: what the port of carriers asks for, and nothing better. Inboxes keep what is published until
 * it is acknowledged, and hand it over again to the next subscriber. It can be told to lose, repeat, reorder, fall silent,
 * refuse and go away, and whoever looks into it sees the payloads.
 */
import type { Carrier, CarrierOptions, Finding, OpenCarrier, Subscription } from '../carrier.ts';

export interface MemoryServer {
  readonly open: OpenCarrier;
  /** What is done with a payload on its way in: none, one or several of them go on. Default: it alone. */
  onPayload: ((inbox: string, payload: Uint8Array) => readonly Uint8Array[]) | undefined;
  payloadBytesMax: number;
  findings: Finding[];
  /** Takes connections and payloads, and says and hands over nothing, until `speak`. */
  silence(): void;
  speak(): void;
  /** Ends all connections and lets in no new one, until `start`; `forget`: what waited is gone. */
  stop(forget: boolean): void;
  start(): void;
  /** As whoever may write to the server. */
  inject(inbox: string, payload: Uint8Array): void;
  readonly publishCount: number;
  readonly connectionCount: number;
}

interface Inbox {
  waiting: Uint8Array[];
  subscribers: Subscriber[];
}

interface Subscriber {
  handle: (payloads: readonly Uint8Array[]) => Promise<void>;
  under: Promise<void> | undefined;
}

const fetchMax = 16;

export function memoryServer(): MemoryServer {
  const inboxes = new Map<string, Inbox>();
  const connections = new Set<(why: string) => void>();
  let isSilent = false;
  let isStopped = false;
  let spoken: (() => void)[] = [];
  let publishCount = 0;

  const inboxOf = (name: string): Inbox => {
    const inbox = inboxes.get(name) ?? { waiting: [], subscribers: [] };
    inboxes.set(name, inbox);
    return inbox;
  };
  const whenSpoken = (): Promise<void> => (isSilent ? new Promise((resolve) => spoken.push(resolve)) : Promise.resolve());

  function deliver(inbox: Inbox): void {
    if (isSilent || isStopped) return;
    for (const subscriber of inbox.subscribers) {
      if (subscriber.under || inbox.waiting.length === 0) continue;
      const payloads = inbox.waiting.splice(0, fetchMax);
      subscriber.under = subscriber.handle(payloads).then(() => {
        subscriber.under = undefined;
        // Not acknowledged: the next one at this inbox gets it.
        if (!inbox.subscribers.includes(subscriber)) inbox.waiting.unshift(...payloads);
        deliver(inbox);
      });
    }
  }

  function put(name: string, payload: Uint8Array): void {
    const inbox = inboxOf(name);
    inbox.waiting.push(...(server.onPayload?.(name, payload) ?? [payload]));
    queueMicrotask(() => deliver(inbox));
  }

  async function open({ onLost, cluster }: CarrierOptions): Promise<Carrier> {
    await whenSpoken();
    if (isStopped) throw new Error('connection refused');
    const own = new Set<{ inbox: Inbox; subscriber: Subscriber }>();
    let isOver = false;
    const end = (): void => {
      isOver = true;
      connections.delete(lose);
      for (const { inbox, subscriber } of own) inbox.subscribers.splice(inbox.subscribers.indexOf(subscriber), 1);
      own.clear();
    };
    const lose = (why: string): void => {
      end();
      onLost(why);
    };
    connections.add(lose);
    return {
      payloadBytesMax: server.payloadBytesMax,
      async subscribe(name, handle) {
        await whenSpoken();
        if (isOver) throw new Error('the connection is over');
        const inbox = inboxOf(`${cluster}.${name}`);
        const entry = { inbox, subscriber: { handle, under: undefined } as Subscriber };
        own.add(entry);
        inbox.subscribers.push(entry.subscriber);
        queueMicrotask(() => deliver(inbox));
        return {
          async close() {
            if (own.delete(entry)) {
              await entry.subscriber.under;
              inbox.subscribers.splice(inbox.subscribers.indexOf(entry.subscriber), 1);
            }
          },
        } satisfies Subscription;
      },
      async publish(name, payloads) {
        publishCount += 1;
        await whenSpoken();
        if (isOver) throw new Error('the connection is over');
        for (const payload of payloads) {
          if (payload.length > server.payloadBytesMax) throw new Error(`${payload.length} bytes are too many`);
          put(`${cluster}.${name}`, payload);
        }
      },
      inspect: async () => server.findings,
      async close() {
        end();
      },
    };
  }

  const server: MemoryServer = {
    open,
    onPayload: undefined,
    payloadBytesMax: 64 * 1024,
    findings: [],
    silence() {
      isSilent = true;
    },
    speak() {
      isSilent = false;
      for (const resolve of spoken) resolve();
      spoken = [];
      for (const inbox of inboxes.values()) deliver(inbox);
    },
    stop(forget) {
      isStopped = true;
      for (const lose of [...connections]) lose('the server stopped');
      if (forget) inboxes.clear();
    },
    start() {
      isStopped = false;
    },
    inject: put,
    get publishCount() {
      return publishCount;
    },
    get connectionCount() {
      return connections.size;
    },
  };
  return server;
}
