// Who is signed in. Token and password stay in the client's memory: a reload forgets them, and nothing on the disk knows them.
import { signal } from "@preact/signals";

import { orderflow, type Credentials, type User } from "./gateway.ts";

export const user = signal<User | undefined>(undefined);

export async function signIn(credentials: Credentials): Promise<void> {
  await orderflow.signIn(credentials);
  user.value = (await orderflow.users.getMe({})).user;
}

export async function register(name: string, credentials: Credentials): Promise<void> {
  await orderflow.users.register({ name, ...credentials });
  await signIn(credentials);
}

export function signOut(): void {
  orderflow.signOut();
  user.value = undefined;
}
