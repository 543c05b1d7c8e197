/** Brokers by their addresses. Adapters are loaded when they are asked for, and their client libraries with them. */
import type { Broker, BrokerPlace } from './brokers/broker.ts';
import { type CarriedBroker, openCarried } from './brokers/carried/carried.ts';
import type { CarrierOptions, Finding, OpenCarrier } from './brokers/carrier.ts';
import { dialWsBroker } from './brokers/ws/client.ts';
import { ShoalError } from './lib/errors.ts';
import { Secret } from './lib/secret.ts';

const redis = async (): Promise<OpenCarrier> => (await import('./brokers/redis.ts')).openRedis;
const nats = async (): Promise<OpenCarrier> => (await import('./brokers/nats.ts')).openNats;
const rabbitmq = async (): Promise<OpenCarrier> => (await import('./brokers/rabbitmq.ts')).openRabbitmq;

const adapters: Readonly<Record<string, () => Promise<OpenCarrier>>> = {
  'redis:': redis,
  'rediss:': redis,
  'redis+sentinel:': redis,
  'kafka:': async () => (await import('./brokers/kafka.ts')).openKafka,
  'nats:': nats,
  // As NATS itself names it.
  'tls:': nats,
  'amqp:': rabbitmq,
  'amqps:': rabbitmq,
};

export interface BrokerOpening {
  /** Keeps trying if nobody is there at first, rather than rejecting. A refusal rejects in any case. */
  patient?: boolean;
  /** One line for the log of this process. */
  onWarning?: (line: string) => void;
}

/** A worker's end. */
export function openBroker(place: BrokerPlace, opening: BrokerOpening = {}): Promise<Broker> {
  if (place.kind === 'server') return openServerBroker(place, opening);
  const { address, token } = place;
  return dialWsBroker({ address, ...opening, ...(token !== undefined && { token: new Secret(token) }) });
}

type ServerPlace = Extract<BrokerPlace, { kind: 'server' }>;

/** Either end: all are alike to a message system. */
export async function openServerBroker(place: ServerPlace, opening: BrokerOpening = {}): Promise<CarriedBroker> {
  const { url, otherHosts, open } = await adapterOf(place.url);
  const { cluster, secret } = place;
  return openCarried({ open, url, otherHosts, cluster, ...opening, ...(secret !== undefined && { secret: new Secret(secret) }) });
}

/** What there is to say about a server's settings, whether it could be used or not. */
export async function inspectServer({ url: text, cluster }: ServerPlace): Promise<readonly Finding[]> {
  const { url, otherHosts, open } = await adapterOf(text);
  const options: CarrierOptions = { url, otherHosts, cluster, onLost: () => undefined, onWarning: () => undefined };
  const carrier = await open(options);
  return carrier.inspect().finally(() => carrier.close());
}

/** `scheme://[user:password@]HOST[:PORT][,HOST[:PORT]…][/path]`; the hosts beyond the first on their own. SH1306. */
async function adapterOf(text: string): Promise<{ url: URL; otherHosts: string[]; open: OpenCarrier }> {
  const match = /^([a-z][a-z0-9+]*:)\/\/((?:[^/?#]*@)?)([^/?#]*)(.*)$/.exec(text);
  const load = adapters[match?.[1] ?? ''];
  const [first, ...otherHosts] = (match?.[3] ?? '').split(',');
  const whole = match && `${match[1]}//${match[2]}${first}${match[4]}`;
  if (!load || !whole || !URL.canParse(whole)) throw unknownBroker(text);
  return { url: new URL(whole), otherHosts, open: await load() };
}

function unknownBroker(text: string): ShoalError {
  const schemes = Object.keys(adapters).map((scheme) => `${scheme}//`);
  return new ShoalError('SH1306', `"${text.replace(/\/\/.*@/s, '//***@')}" is no broker that shoal knows`, {
    hint: `use ws: (the coordinator's own port), or a URL that begins with ${schemes.join(', ')}`,
  });
}

const clusterName = /^[a-z0-9-]{1,64}$/;
const secretCharactersMin = 16;

/** `ws:` has no place of its own: it is the coordinator's port. SH1306, SH1307, SH1308. */
export function serverPlace(broker: string, cluster = 'shoal', secret?: string): ServerPlace | undefined {
  if (!clusterName.test(cluster)) {
    throw new ShoalError('SH1308', `"${cluster}" is no name of a cluster`, { hint: 'up to 64 of a-z, 0-9 and -' });
  }
  if (broker === 'ws:') return undefined;
  if (secret !== undefined && secret.length < secretCharactersMin) {
    throw new ShoalError('SH1307', 'the cluster secret is too short to be safe', {
      hint: `take ${secretCharactersMin} random characters or more: openssl rand -hex 32`,
    });
  }
  return { kind: 'server', url: broker, cluster, secret };
}
