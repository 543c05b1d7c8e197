/**
 * Messages over a broker: as frames, or, where all parties live in one process, by hand: as they are, with neither side
 * writing or reading a frame. Nobody changes a message once it was sent, nor what a message that came holds.
 */

import { decodeMessage, encodeMessage, type Message } from '../wire/frame.ts';
import type { Address, Broker, Listener } from './broker.ts';

/** Besides payload. */
const messageBytes = 256;

/** As `Broker.send`. */
export function post(broker: Broker, address: Address, message: Message): Promise<void> {
  const { byHand } = broker;
  if (!byHand) return broker.send(address, encodeMessage(message));
  let bytes = messageBytes;
  if ('body' in message) for (const chunk of message.body ?? []) bytes += chunk.length;
  return byHand.send(address, message, bytes);
}

/** As `Broker.listen`; what is no message is told to `onNonsense` and left out. */
export function listen<M extends Message>(
  broker: Broker,
  address: Address,
  handle: (messages: readonly M[]) => void | Promise<void>,
  onNonsense: (why: string) => void,
): Promise<Listener> {
  const { byHand } = broker;
  if (byHand) return byHand.listen(address, handle as (messages: readonly object[]) => void | Promise<void>);
  return broker.listen(address, (frames) => {
    const messages: M[] = [];
    for (const frame of frames) {
      try {
        messages.push(decodeMessage<M>(frame));
      } catch (error) {
        onNonsense((error as Error).message);
      }
    }
    return handle(messages);
  });
}
