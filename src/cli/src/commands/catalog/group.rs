//! `walkeep catalog group`: groups of followers in a server's own table, and the positions of their members.
//!
//! Not here: the followers that hold back `walkeep gc`. Those stand in the store (`walkeep followers`).

use clap::{Args, Subcommand};
use walkeep::Error;
use walkeep::core::catalog::{Ack, Catalog};
use walkeep::core::{FrameNo, GroupName, MemberName, Namespace};

use super::list::{group, write_group};
use super::{CatalogArgs, open};
use crate::args::parse_frame;
use crate::output;

/// A group of followers of a namespace.
#[derive(Debug, Args)]
pub(crate) struct GroupArgs {
    /// The namespace
    #[arg(value_name = "NS")]
    namespace: Namespace,
    /// The group
    #[arg(value_name = "GROUP")]
    group: GroupName,
    #[command(flatten)]
    at: CatalogArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum GroupCommand {
    /// Create a group of followers of a namespace
    Create(GroupArgs),
    /// Show a group, and how far its members have come
    Show(GroupArgs),
    /// List the groups of a namespace, with their members
    List {
        /// The namespace
        #[arg(value_name = "NS")]
        namespace: Namespace,
        #[command(flatten)]
        at: CatalogArgs,
    },
    /// Acknowledge for a member everything up to a frame, no further than the segments that the catalog knows
    Ack {
        #[command(flatten)]
        of: GroupArgs,
        /// The member
        #[arg(value_name = "MEMBER")]
        member: MemberName,
        /// The last frame that it needs no more
        #[arg(value_name = "FRAME", value_parser = parse_frame)]
        frame: FrameNo,
    },
    /// Forget a member of a group and its position
    Forget {
        #[command(flatten)]
        of: GroupArgs,
        /// The member
        #[arg(value_name = "MEMBER")]
        member: MemberName,
    },
    /// Delete a group and the positions of its members
    Delete(GroupArgs),
}

pub(super) fn run(command: &GroupCommand, json: bool) -> anyhow::Result<()> {
    match command {
        GroupCommand::Create(of) => {
            let catalog = open::existing(&of.at.catalog)?;
            catalog.create_group(&of.namespace, &of.group)?;
            show(&catalog, of, json)
        }
        GroupCommand::Show(of) => show(&open::existing(&of.at.catalog)?, of, json),
        GroupCommand::List { namespace, at } => {
            let catalog = open::existing(&at.catalog)?;
            for found in catalog.groups(namespace, None, usize::MAX)? {
                write_group(&group(&catalog, found)?, "", json)?;
            }
            Ok(())
        }
        GroupCommand::Ack { of, member, frame } => {
            let catalog = open::existing(&of.at.catalog)?;
            let newest = catalog.segments(&of.namespace, None, 1)?.first().map(|newest| newest.key.end());
            let GroupArgs { namespace, group, .. } = of;
            catalog.ack(&Ack { namespace, group, member, frame_no: *frame, durable: newest })?;
            show(&catalog, of, json)
        }
        GroupCommand::Forget { of, member } => {
            let catalog = open::existing(&of.at.catalog)?;
            if !catalog.delete_member(&of.namespace, &of.group, member)? {
                let what = format!("member {member} of group {} of namespace {}", of.group, of.namespace);
                return Err(Error::not_found(format!("{what} in the catalog")).into());
            }
            output::note(format!("{member} is no member of group {} any more", of.group));
            show(&catalog, of, json)
        }
        GroupCommand::Delete(of) => {
            let catalog = open::existing(&of.at.catalog)?;
            let Some(positions) = catalog.delete_group(&of.namespace, &of.group)? else {
                let what = format!("group {} of namespace {} in the catalog", of.group, of.namespace);
                return Err(Error::not_found(what).into());
            };
            let positions = output::count(positions, "position");
            output::note(format!("group {} is deleted, with {positions}", of.group));
            Ok(())
        }
    }
}

fn show(catalog: &dyn Catalog, of: &GroupArgs, json: bool) -> anyhow::Result<()> {
    let found = catalog.group(&of.namespace, &of.group)?;
    write_group(&group(catalog, found)?, "", json)
}
