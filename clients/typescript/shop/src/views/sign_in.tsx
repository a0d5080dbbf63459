import { useState } from "preact/hooks";

import { Field, Form, Submit, useForm, type FormState } from "../parts/form.tsx";
import { Page } from "../parts/page.tsx";
import { register, signIn } from "../session.ts";

function credentials(data: FormData) {
  return { email: String(data.get("email")), password: String(data.get("password")) };
}

/** Stands in the place of the view that needs somebody, which then comes by itself. */
export function SignIn() {
  const [isNew, setNew] = useState(false);
  return (
    <Page key={String(isNew)} title={isNew ? "Register" : "Sign in"}>
      <div class="narrow">
        {isNew ? <RegisterForm /> : <SignInForm />}
        <p>
          {isNew ? "You have an account? " : "New here? "}
          <button type="button" class="link" onClick={() => setNew(!isNew)}>
            {isNew ? "Sign in" : "Register"}
          </button>
        </p>
      </div>
    </Page>
  );
}

function Email({ state }: { state: FormState }) {
  return (
    <Field state={state} name="email" label="E-mail">
      {(attributes) => <input type="email" autocomplete="username" {...attributes} />}
    </Field>
  );
}

function SignInForm() {
  const form = useForm((data) => signIn(credentials(data)));
  return (
    <Form state={form} label="Sign in">
      <Email state={form} />
      <Field state={form} name="password" label="Password">
        {(attributes) => <input type="password" autocomplete="current-password" {...attributes} />}
      </Field>
      <Submit state={form}>Sign in</Submit>
    </Form>
  );
}

function RegisterForm() {
  const form = useForm((data) => register(String(data.get("name")), credentials(data)), {
    reasons: { EMAIL_TAKEN: "email" },
  });
  return (
    <Form state={form} label="Register">
      <Field state={form} name="name" label="Name">
        {(attributes) => <input type="text" autocomplete="name" {...attributes} />}
      </Field>
      <Email state={form} />
      <Field state={form} name="password" label="Password" hint="At least 8 characters.">
        {(attributes) => <input type="password" autocomplete="new-password" {...attributes} />}
      </Field>
      <Submit state={form}>Register</Submit>
    </Form>
  );
}
