/** A worker's end of a broker, by its address. */
import type { Broker } from './brokers/broker.ts';
import { dialWsBroker, type WsBrokerOptions } from './brokers/ws/client.ts';

/** `http://HOST:PORT` or `https://HOST:PORT`: the coordinator's own port (`ws:`). */
export function openBroker(options: WsBrokerOptions): Promise<Broker> {
  return dialWsBroker(options);
}
