//! How statements run on a connection.

/// The methods that run statements. Written once, but not in generic code, which would have to repeat
/// sqlx's trait bounds at every use of a dialect.
macro_rules! run_statements {
    ($connection:ty) => {
        async fn command(
            connection: &mut $connection,
            sql: &'static str,
        ) -> Result<(), sqlx::Error> {
            sqlx::raw_sql(sql).execute(connection).await.map(drop)
        }

        async fn script(connection: &mut $connection, sql: &str) -> Result<(), sqlx::Error> {
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.map(drop)
        }

        async fn execute(
            connection: &mut $connection,
            sql: &str,
            args: &[Arg<'_>],
        ) -> Result<u64, sqlx::Error> {
            let arguments = Self::arguments(args)?;
            let done = sqlx::query_with(AssertSqlSafe(sql), arguments).execute(connection).await?;
            Ok(done.rows_affected())
        }

        async fn log_rows(
            connection: &mut $connection,
            sql: &str,
            args: &[Arg<'_>],
        ) -> Result<Vec<LogRow>, sqlx::Error> {
            let arguments = Self::arguments(args)?;
            sqlx::query_as_with(AssertSqlSafe(sql), arguments).fetch_all(connection).await
        }
    };
}
pub(crate) use run_statements;
