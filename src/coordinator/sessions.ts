/** Clients in this very process: a session hands its messages straight to the coordinator's inbox. */
import type { FromClient, Refusal, Session, ToClient } from '../core/messages.ts';

export class LocalSession implements Session {
  readonly id: string;
  onMessage: (message: ToClient) => void = () => {};
  onClose: (error: Refusal) => void = () => {};
  private readonly deliver: (session: string, message: FromClient | 'closed') => void;
  private isOpen = true;

  constructor(id: string, deliver: (session: string, message: FromClient | 'closed') => void) {
    this.id = id;
    this.deliver = deliver;
  }

  send(message: FromClient): void {
    if (this.isOpen) this.deliver(this.id, message);
  }

  close(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.deliver(this.id, 'closed');
  }

  /** The coordinator ends it. */
  end(error: Refusal): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.onClose(error);
  }
}
