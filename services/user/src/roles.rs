use std::process::ExitCode;

use clap::{Arg, ArgMatches, Command};
use orderflow_chassis::config::{Secret, Settings};
use orderflow_contract::status;

use crate::{ABOUT, config, email::Email, failure::Failure, store::Store};

const GRANT: &str = "grant-role";

/// Commands for the operator, past the RPCs: somebody has to be the first admin.
pub(crate) fn commands() -> [Command; 2] {
    [
        (
            GRANT,
            "Gives a role to the account with this e-mail address",
        ),
        (
            "revoke-role",
            "Takes a role from the account with this e-mail address",
        ),
    ]
    .map(|(name, about)| {
        let email = Arg::new("EMAIL").required(true);
        let email = email.value_parser(|text: &str| text.parse::<Email>());
        let role = Arg::new("ROLE").required(true).value_parser(["admin"]);
        Command::new(name).about(about).args([email, role])
    })
}

pub(crate) async fn main(name: &str, arguments: &ArgMatches) -> ExitCode {
    // It takes no secret to change a role, only the database.
    let mut settings = Settings::from_env(ABOUT.name);
    let mongo_url = settings.mongo_url();
    let database = config::database(&mut settings);
    let (mongo_url, database) = match settings.finish(|| Some((mongo_url?, database?))) {
        Ok(settings) => settings,
        Err(wrong) => {
            eprintln!("{} {name}:\n{wrong}", ABOUT.binary);
            return ExitCode::from(2);
        }
    };
    let email: &Email = arguments.get_one("EMAIL").expect("it is required");
    let role: &String = arguments.get_one("ROLE").expect("it is required");
    match change(&mongo_url, &database, email, role, name == GRANT).await {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("{}: {problem}", ABOUT.binary);
            ExitCode::FAILURE
        }
    }
}

async fn change(
    mongo_url: &Secret,
    database: &str,
    email: &Email,
    role: &str,
    granted: bool,
) -> Result<String, String> {
    let store = Store::connect(mongo_url, database).await;
    let store = store.map_err(|error| format!("MONGO_URL cannot be used: {error}"))?;
    let changed = async {
        store.ensure_indexes().await?;
        store.set_role(email, role, granted).await
    };
    let user = changed
        .await
        .map_err(|error: Failure| status::chain(&error))?;
    let user = user.ok_or_else(|| format!("nobody is registered with {email}"))?;
    let id = user.id;
    Ok(match granted {
        true => format!("{email} ({id}) has the role {role} from the next login on"),
        false => format!("{email} ({id}) keeps the role {role} only in tokens given out before"),
    })
}
