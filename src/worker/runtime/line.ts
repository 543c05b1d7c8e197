/**
 * One side of the line between a host and its thread. Messages come in the order in which they were posted, by the event loop or
 * to whoever looks out for them.
 */
import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import { bell, type MemoryBoard } from './board.ts';
import { Lookout } from './lookout.ts';

export class Line<In, Out> {
  private readonly port: MessagePort;
  /** When the event loop last had its turn here. */
  turnMs = 0;
  private readonly board: MemoryBoard;
  private readonly own: 0 | 1;
  private readonly lookout: Lookout;
  private readonly hear: (message: In) => void;
  private heard = 0;

  constructor(port: MessagePort, board: MemoryBoard, side: 'host' | 'thread', lookoutMs: number, hear: (message: In) => void) {
    this.port = port;
    this.board = board;
    this.own = bell[side];
    this.lookout = new Lookout(lookoutMs);
    this.hear = hear;
    port.on('message', (message: In) => {
      this.turnMs = performance.now();
      this.take(message);
    });
  }

  post(message: Out, transfer: ArrayBuffer[]): void {
    this.port.postMessage(message, transfer);
    this.board.ring(this.own);
  }

  /** Waits for the next message for a moment without sleeping, and hears it. */
  lookOut(): void {
    this.lookout.look(this.takeNext);
  }

  /** Hears all that is there. */
  drain(): void {
    for (let next = receiveMessageOnPort(this.port); next; next = receiveMessageOnPort(this.port)) this.take(next.message);
  }

  private readonly takeNext = (): boolean => {
    if (this.board.rung(this.own === bell.host ? bell.thread : bell.host) === this.heard) return false;
    const next = receiveMessageOnPort(this.port) as { message: In } | undefined;
    if (next) this.take(next.message);
    return next !== undefined;
  };

  private take(message: In): void {
    this.heard = (this.heard + 1) | 0;
    this.hear(message);
  }
}
